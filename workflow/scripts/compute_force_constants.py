"""Crystal at rest and its harmonic force constants in the supercell."""

from dataclasses import asdict, replace

import numpy as np

from matwheel.chapters.phonon.configurations import crystal_at_rest, energy_per_atom, supercell_multiples
from matwheel.core.errors import InputError
from matwheel.core.files import sha256_of_file, write_json
from matwheel.crystals.imported import read_imported
from matwheel.crystals.table import space_group
from matwheel.potentials.potentials import potential_card, supports
from matwheel.potentials.stored_calculator import stored_calculator
from matwheel.runs.provenance import library_versions
from matwheel.runs.recorded_code import recorded
from matwheel.vibrations.displacements import refuse_large_supercell, vibrations
from matwheel.vibrations.force_constants import force_constants, save_force_constants, supercell_at_rest

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    params, compound = snakemake.params, snakemake.wildcards.compound
    crystals, verdicts = read_imported(snakemake.input.crystal)
    if len(crystals) != 1:
        faults = "; ".join(verdict.reason for verdict in verdicts if verdict.reason) or "give a file with one"
        raise InputError(f"{snakemake.input.crystal}: {len(crystals)} readable crystals, not one: {faults}")
    crystal = replace(crystals[0], id=compound)
    multiples = supercell_multiples(crystal, params.supercell)
    atoms = len(crystal.species) * round(float(np.prod(multiples)))
    refuse_large_supercell(atoms, params.largest_memory_gb)
    unknown = supports(params.potential["name"], crystal.species)
    if unknown:
        raise InputError(
            f"{compound}: {params.potential['name']} does not know {', '.join(sorted(unknown))}; "
            "set validate.potential to one that does"
        )
    name, store = params.potential["name"], snakemake.config["store"]
    with stored_calculator(name, store, log, double_precision=True) as calculator:
        rest = crystal_at_rest(crystal, calculator, params.lattice)
        rest_energy = energy_per_atom(rest, calculator)
        constants = force_constants(rest, calculator, multiples)
    supercell, masses_amu = supercell_at_rest(constants)
    modes = vibrations(supercell, constants.matrix_ev_per_angstrom2, masses_amu)
    save_force_constants(constants, snakemake.output.constants)
    write_json(
        {
            "compound": compound,
            "file": snakemake.input.crystal,
            "file_sha256": sha256_of_file(snakemake.input.crystal),
            "potential": asdict(potential_card(params.potential["name"])),
            "lattice": params.lattice,
            "cell_angstrom": rest.lattice.tolist(),
            "space_group": space_group(rest),
            "rest_energy_ev_per_atom": rest_energy,
            "supercell": multiples,
            "atoms": len(supercell.species),
            "displaced_supercells": constants.displacements,
            "imaginary_fraction": modes.imaginary_fraction,
            "lowest_frequency_thz": float(modes.frequencies_thz[0]),
            "highest_frequency_thz": float(modes.frequencies_thz[-1]),
            "acoustic_residual_thz": constants.acoustic_residual_thz,
            "versions": library_versions(("matwheel", "numpy", "phonopy", "ase", "spglib")),
        },
        snakemake.output.card,
    )
    log(f"{compound}: {modes.imaginary_fraction:.0%} of {len(modes.frequencies_thz)} vibrations imaginary")
