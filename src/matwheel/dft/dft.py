"""Density-functional theory as the judge of a few survivors, by a program in an environment of its own.

Nothing of GPAW is imported here (it is under the GPL): a calculation is a JSON file in, a process of the
Python in `DFTSettings.python`, and a JSON file out. A crystal whose calculation fails gets a status and a
reason, and what was computed once is found again by a key of all that it depends on. Steps are limited; a
clock guards against a hang and ends the job. Layers have one k-point along their vacuum and are relaxed in
their plane; wires and molecules are refused.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from math import ceil, nan, pi
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Literal, final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from matwheel.compositions.element_names import Element
from matwheel.core.errors import InputError
from matwheel.core.files import read_json, sha256_of_content, write_json
from matwheel.core.progress import Log, log_to_stderr
from matwheel.core.settings import Count, Positive, Seconds, Steps, settings
from matwheel.core.time_limits import Hung, hung
from matwheel.crystals.crystal import Crystal
from matwheel.crystals.dimensionality import VACUUM_ANGSTROM, VacuumGap, plane_normal, vacuum, with_vacuum
from matwheel.dft import gpaw_process
from matwheel.potentials.relaxation import reason_to_refuse_vacuum
from matwheel.runs.code_version import code_version

if TYPE_CHECKING:
    from phonopy import Phonopy

INSTALL_COMMAND = "make gpaw"
SINGLE_POINT, RELAXATION, GAMMA_PHONONS = TASKS = ("single_point", "relaxation", "gamma_phonons")

OK = "ok"
NOT_CONVERGED = "not_converged"  # steps of a relaxation used up: the figures are those of the last geometry
SCF_NOT_CONVERGED = "scf_not_converged"
FAILED = "error"
REFUSED = "refused"  # not computed: too large, broken, or an element without a data set
# Plain PBE puts open 4f and 5f shells at the Fermi level in any crystal; their data sets are slow besides.
F_ELEMENTS = (
    *("Ce", "Pr", "Nd", "Pm", "Sm", "Eu", "Gd", "Tb", "Dy", "Ho", "Er", "Tm", "Yb", "Lu"),
    *("Th", "Pa", "U", "Np", "Pu", "Am", "Cm"),
)
STATUSES = (OK, NOT_CONVERGED, SCF_NOT_CONVERGED, FAILED, REFUSED)
# What comes out again when it is tried again, so it is kept; a crash need not.
_LASTING = (OK, NOT_CONVERGED, SCF_NOT_CONVERGED)


@settings
class DFTSettings:
    """What is computed, how exactly, and what counts as agreement."""

    backend: Literal["none", "gpaw"] = "none"
    """The program that computes, or none."""
    python: Annotated[str, Field(min_length=1)] = ".venv-gpaw/bin/python"
    """The Python of the environment that holds the backend."""
    tasks: Annotated[
        tuple[Literal["single_point", "relaxation", "gamma_phonons"], ...], Field(strict=False)
    ] = ("single_point", "relaxation", "gamma_phonons")
    """What is computed of each crystal."""
    max_atoms: Count = 10
    """A larger cell is refused."""
    left_out_elements: Annotated[tuple[Element, ...], Field(strict=False)] = F_ELEMENTS
    """Candidates with one of them are passed over when the best are chosen; by default those with 4f and 5f
    shells, Ce to Lu and Th to Cm.
    """
    time_limit_seconds: Seconds = 14400.0
    """Wall time of one task of one crystal, a guard against a hang that ends the job."""
    vacuum_angstrom: VacuumGap = VACUUM_ANGSTROM
    xc: Annotated[str, Field(min_length=1)] = "PBE"
    """Exchange-correlation functional."""
    cutoff_ev: Annotated[float, Field(gt=0, le=10_000)] = 500.0
    """Of the plane waves. Oxides need 500 eV (MgO at 300 eV is 7 eV off); 300 eV is enough for heavier anions
    when one lattice is looked at.
    """
    kpoint_density_per_inverse_angstrom: Annotated[float, Field(gt=0, le=100)] = 2.5
    """K-points per 1/Å (with 2π) along each reciprocal vector; the mesh contains Γ."""
    smearing_ev: Positive = 0.05
    """Width of the Fermi-Dirac distribution."""
    setups: Annotated[Mapping[Element, str], Field(default_factory=dict)] = field(default_factory=dict)
    """Data set by element where not the default, e.g. {'Ag': '11'}: 11 valence electrons, not 17."""
    spin: Literal["auto", "always", "never"] = "auto"
    """`auto` starts ferromagnetic where an element often carries a moment."""
    force_convergence_ev_per_angstrom: Positive = 0.001
    """The forces change by less in the last steps of self-consistency."""
    pulay_correction: bool = True
    """A second energy at a 2 % higher cutoff corrects the stress for the finite set of plane waves (without
    it the pressure of Ag3SBr is 2.7 GPa off at 300 eV).
    """
    fmax_ev_per_angstrom: Positive = 0.01
    """A relaxation has converged when no force on an atom and no component of the virial per atom (eV) is
    larger; the rule of ASE. At 0.01 lengths are right to about 0.05 %.
    """
    max_steps: Steps = 40
    """Largest number of steps of a relaxation."""
    displacement_angstrom: Positive = 0.02
    """Of one atom, for the phonons."""
    largest_force_ev_per_angstrom: Positive = 0.15
    """The potential's geometry passes below it and `largest_pressure_gpa`."""
    largest_pressure_gpa: Positive = 3.0
    """The same for the pressure."""
    lowest_gamma_frequency_thz: float = -0.5
    """A phonon at Γ below it (imaginary as negative) fails the crystal."""
    largest_relaxation_rmsd_angstrom: Positive = 0.3
    """A geometry beyond the first limits that DFT relaxes to one within this and
    `largest_relaxation_volume_change` is undecided, not failed.
    """
    largest_relaxation_volume_change: Positive = 0.1
    """The same for the volume, as a share of it."""


# The settings that figures depend on: those of every task, and those of each.
_EXACTNESS = ("xc", "cutoff_ev", "smearing_ev", "spin", "force_convergence_ev_per_angstrom")
_EXACTNESS_OF = {
    SINGLE_POINT: ("pulay_correction",),
    RELAXATION: ("pulay_correction", "fmax_ev_per_angstrom", "max_steps"),
    GAMMA_PHONONS: (),
}


@dataclass(frozen=True)
class Backend:
    """The program that computes, as it answered for itself.

    Attributes:
        name: 'gpaw'.
        version: of the program and its data sets, e.g. 'gpaw 26.7.0, gpaw-data 1.2.1'.
    """

    name: str
    python: str
    version: str
    elements: frozenset[str]


@final
@dataclass(frozen=True)
class DFTResult:
    """One task of one crystal; None where there is no figure.

    A potential's figures come in the same form, for the comparison.

    Attributes:
        task: one of `TASKS`.
        status: one of `STATUSES`.
        reason: one sentence for a person; empty when ok.
        key: what the calculation is found by; empty for a potential.
        energy_ev: of the cell, counted from the tool's own zero; of a relaxation, the last one.
        forces_ev_per_angstrom: shape (atoms, 3).
        stress_gpa: xx, yy, zz, yz, xz, xy; positive when the cell wants to shrink, as in ASE.
        pulay_pressure_gpa: the part of the pressure that corrects for the finite set of plane waves.
        band_gap_ev: between the k-points of the mesh, so an upper bound; 0 for a metal.
        valence_band_maximum_ev: relative to the mean electrostatic potential of the cell; None for a metal.
        fermi_level_ev: relative to the same.
        magnetic_moments: μB of each atom; None without spin.
        lattice, frac_coords: of a relaxation, the last geometry.
        gamma_frequencies_thz: ascending, imaginary as negative, shape (3 × atoms,).
        irreducible_kpoints: number that symmetry leaves.
        setups: fingerprint of each element's data set.
        seconds: wall time.
        cpu_seconds: time of the processor, which other programs on the machine hardly change.
    """

    candidate_id: str
    task: str
    status: str
    reason: str = ""
    key: str = ""
    tool: str = ""
    tool_version: str = ""
    energy_ev: float | None = None
    energy_initial_ev: float | None = None
    forces_ev_per_angstrom: list[list[float]] | None = None
    stress_gpa: list[float] | None = None
    pulay_pressure_gpa: float | None = None
    band_gap_ev: float | None = None
    valence_band_maximum_ev: float | None = None
    fermi_level_ev: float | None = None
    magnetic_moments: list[float] | None = None
    steps: int | None = None
    lattice: list[list[float]] | None = None
    frac_coords: list[list[float]] | None = None
    gamma_frequencies_thz: list[float] | None = None
    kpoints: list[int] | None = None
    irreducible_kpoints: int | None = None
    cutoff_ev: float | None = None
    setups: dict[str, str] | None = None
    seconds: float | None = None
    cpu_seconds: float | None = None

    @property
    def largest_force_ev_per_angstrom(self) -> float:
        """Length of the largest force, or NaN."""
        if self.forces_ev_per_angstrom is None:
            return nan
        return float(np.linalg.norm(self.forces_ev_per_angstrom, axis=1).max())

    @property
    def pressure_gpa(self) -> float:
        """Pressure, positive when the cell wants to grow, or NaN."""
        return nan if self.stress_gpa is None else -float(np.mean(self.stress_gpa[:3]))


_FIGURES = frozenset(f.name for f in fields(DFTResult)) - {
    "candidate_id",
    "task",
    "key",
    "tool",
    "tool_version",
}


def find_backend(settings: DFTSettings, needed_by: str) -> Backend:
    """Ask the backend for its version.

    Args:
        needed_by: what the calculation is for, e.g. the name of a rule; the message names it.

    Raises:
        InputError: no backend is set, it is not installed, or it does not start.
    """
    if settings.backend == "none":
        raise InputError(
            f"{needed_by} needs real DFT, but the setting dft.backend is 'none': install GPAW with "
            f"'{INSTALL_COMMAND}' and set dft.backend to gpaw"
        )
    needs = f"{needed_by} needs real DFT by dft.backend {settings.backend!r}"
    python = Path(settings.python).absolute()
    if not python.is_file():
        raise InputError(
            f"{needs}, but there is no {python} (setting dft.python): run '{INSTALL_COMMAND}', or set "
            "dft.backend to none"
        )
    command = [str(python), "-I", gpaw_process.__file__, "--environment", settings.xc]
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=120, env=_environment()
        )
        found = json.loads(answer.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        said = _last_line(getattr(error, "stderr", "") or "") or str(error)
        raise InputError(
            f"{needs}, but {python} cannot run it ({said}): run '{INSTALL_COMMAND}' again, or set "
            "dft.backend to none"
        ) from None
    if not found["elements"]:
        raise InputError(
            f"setting dft.xc is {settings.xc!r}, for which GPAW has no data sets; set PBE or LDA"
        )
    versions = f"gpaw {found['gpaw_version']}, gpaw-data {found['setups_version']}"
    return Backend(settings.backend, str(python), versions, frozenset(found["elements"]))


def kpoint_mesh(
    lattice: NDArray[np.float64],
    density_per_inverse_angstrom: float,
    vacuum_miller: NDArray[np.int64] | None = None,
) -> list[int]:
    """Return the number of k-points along each reciprocal vector: density times its length with 2π.

    Args:
        lattice: cell vectors as rows, shape (3, 3), Å.
        vacuum_miller: of the plane of a layer, shape (3,). Where it lies along one reciprocal vector, there
            is one k-point along that; in a skewed cell there is no such vector, and the density counts.
    """
    lengths = 2 * pi * np.linalg.norm(np.linalg.inv(lattice), axis=0)
    # 1e-6: rounding of a lattice must not add a plane of k-points.
    mesh = [max(1, ceil(density_per_inverse_angstrom * length - 1e-6)) for length in lengths]
    if vacuum_miller is not None and np.count_nonzero(vacuum_miller) == 1:
        mesh[int(np.flatnonzero(vacuum_miller)[0])] = 1
    return mesh


def calculation_job(crystal: Crystal, task: str, settings: DFTSettings) -> dict[str, Any]:
    """Return what the process is told: geometry, task, and the settings that its figures depend on.

    Of a layer the relaxation is told the `normal`, the unit vector upright on its plane.
    """
    crystal = with_vacuum(crystal, settings.vacuum_angstrom)
    found = vacuum(crystal, settings.vacuum_angstrom)
    miller = found.miller[0] if found.dimensionality == 2 else None
    job: dict[str, Any] = {
        **{name: getattr(settings, name) for name in (*_EXACTNESS, *_EXACTNESS_OF[task])},
        "setups": dict(settings.setups),
        "task": task,
        "species": list(crystal.species),
        "lattice": crystal.lattice.tolist(),
        "frac_coords": crystal.frac_coords.tolist(),
        "kpoints": kpoint_mesh(crystal.lattice, settings.kpoint_density_per_inverse_angstrom, miller),
    }
    if task == RELAXATION and miller is not None:
        job["normal"] = plane_normal(crystal, miller).tolist()
    if task == GAMMA_PHONONS:
        _, displaced = gamma_displacements(crystal, settings.displacement_angstrom)
        job |= {"task": "forces", "geometries": [one.frac_coords.tolist() for one in displaced]}
    return job


def calculation_key(job: Mapping[str, Any], backend: Backend) -> str:
    """Return a hash of all that the figures depend on: the job, the program's versions, the code it runs."""
    script = Path(gpaw_process.__file__)
    code = code_version(script, source_root=script.parents[2])
    return sha256_of_content({"job": dict(job), "backend": [backend.name, backend.version], "code": code})


def cached_result(folder: str | Path, key: str) -> DFTResult | None:
    """Return the result that `calculate` left in the folder, or None."""
    path = Path(folder) / f"{key}.json"
    return DFTResult(**read_json(path)) if path.is_file() else None


def calculate(
    crystal: Crystal, task: str, settings: DFTSettings, backend: Backend, folder: str | Path
) -> DFTResult:
    """Do one task of one crystal, or find its result in `folder`.

    What cannot be computed becomes a status and a reason. The program's own output is `folder/KEY.log`. When
    the time is up, or this process is interrupted, all processes of the calculation end; if this process is
    killed, the calculation ends by itself. Phonons tried again go on with the next displacement.

    Raises:
        InputError: unknown task.
        Hung: the time is up; what was finished is found again.
    """
    if task not in TASKS:
        raise InputError(f"unknown DFT task {task!r}; choose one of {', '.join(TASKS)}")
    started = time.monotonic()
    blank = DFTResult(crystal.id, task, FAILED, tool=backend.name, tool_version=backend.version)
    refusal = reason_to_refuse(crystal, settings, backend.elements)
    if refusal:
        return replace(blank, status=REFUSED, reason=refusal, seconds=0.0)
    key = ""
    try:
        job = calculation_job(crystal, task, settings)
        key = calculation_key(job, backend)
        known = cached_result(folder, key)
        if known is not None:
            return replace(known, candidate_id=crystal.id)
        command = [backend.python, "-I", gpaw_process.__file__]
        progress_file = (Path(folder) / f"{key}.forces").absolute()
        figures = run_process(
            command,
            job | {"progress_file": str(progress_file)},
            settings.time_limit_seconds,
            Path(folder) / f"{key}.log",
        )
        if task == GAMMA_PHONONS and figures["status"] == OK:
            phonons, _ = gamma_displacements(crystal, settings.displacement_angstrom)
            forces = figures["geometry_forces_ev_per_angstrom"]
            figures["gamma_frequencies_thz"] = gamma_frequencies(phonons, forces)
    except Hung:
        raise
    except Exception as error:  # one crystal must not end the batch
        figures = {"status": FAILED, "reason": f"{type(error).__name__}: {error}"}
    figures = {name: value for name, value in figures.items() if name in _FIGURES}
    result = replace(blank, **{**figures, "key": key, "seconds": time.monotonic() - started})
    if result.status in _LASTING:
        write_json(asdict(result), Path(folder) / f"{key}.json")
        progress_file.unlink(missing_ok=True)
    return result


def calculate_all(
    crystals: Sequence[Crystal],
    settings: DFTSettings,
    backend: Backend,
    folder: str | Path,
    log: Log = log_to_stderr,
) -> list[DFTResult]:
    """Do all tasks of the settings for all crystals, one process at a time; by crystal, then by task.

    When one task of a crystal is refused or finds no self-consistent density, its others are not tried.
    """
    results = []
    for crystal in crystals:
        for task in settings.tasks:
            result = calculate(crystal, task, settings, backend, folder)
            results.append(result)
            note = f": {result.reason}" if result.reason else ""
            log(f"{crystal.id}: {task} {result.status}, {result.seconds:.0f} s{note}")
            if result.status in (SCF_NOT_CONVERGED, REFUSED):
                break
    return results


def reason_to_refuse(crystal: Crystal, settings: DFTSettings, elements: Collection[str]) -> str:
    """Return why a crystal is not even computed, or the empty string."""
    atoms = len(crystal.species)
    if atoms == 0:
        return "no atoms"
    if atoms > settings.max_atoms:
        return f"{atoms} atoms, more than the {settings.max_atoms} of dft.max_atoms"
    if not (np.isfinite(crystal.lattice).all() and np.isfinite(crystal.frac_coords).all()):
        return "lattice or positions are not finite"
    if crystal.volume_angstrom3 < atoms:
        return f"volume {crystal.volume_angstrom3 / atoms:.3g} Å³ per atom is below 1 Å³"
    missing = sorted(set(crystal.species) - set(elements))
    if missing:
        return f"no {settings.xc} data set of {', '.join(missing)}"
    return reason_to_refuse_vacuum(crystal, settings.vacuum_angstrom)


def run_process(
    command: Sequence[str], job: Mapping[str, Any], time_limit_seconds: float, log_file: str | Path
) -> dict[str, Any]:
    """Run `command IN.json OUT.json` in a process group of its own and return what it wrote.

    Returns:
        The content of OUT.json; status 'error' with a reason where there is none.

    Raises:
        Hung: the time is up.
    """
    log_file = Path(log_file)
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="dft-") as folder, log_file.open("w", encoding="utf-8") as output:
        input_file, output_file = Path(folder, "input.json"), Path(folder, "output.json")
        write_json(dict(job), input_file)
        process = subprocess.Popen(
            [*command, str(input_file), str(output_file)],
            # Held open while this process lives: the other one ends when it closes.
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=_environment(),
            start_new_session=True,
        )
        try:
            status = process.wait(timeout=time_limit_seconds)
        except subprocess.TimeoutExpired:
            what = f"the calculation with the log {log_file}"
            raise hung(time_limit_seconds, what, "dft.time_limit_seconds") from None
        finally:
            _end_group(process)
        if status != 0:
            ended = f"signal {-status}" if status < 0 else f"exit status {status}"
            said = _last_line(log_file.read_text(encoding="utf-8", errors="replace"))
            return {"status": FAILED, "reason": f"the process ended with {ended}{': ' if said else ''}{said}"}
        try:
            result = read_json(output_file)
        except (OSError, ValueError) as error:
            return {"status": FAILED, "reason": f"no readable result: {type(error).__name__}"}
    if not isinstance(result, dict) or result.get("status") not in STATUSES:
        return {"status": FAILED, "reason": "the result has no known status"}
    return result


def gamma_displacements(crystal: Crystal, distance_angstrom: float) -> tuple[Phonopy, list[Crystal]]:
    """Return a phonon object of the cell itself and the displaced crystals whose forces it needs.

    Every periodic image moves with its atom, which is exactly what the Γ point asks for. Symmetry leaves few
    displacements; both signs are taken where it does not relate them.
    """
    from phonopy import Phonopy
    from phonopy.structure.atoms import PhonopyAtoms

    cell = PhonopyAtoms(
        symbols=list(crystal.species), cell=crystal.lattice, scaled_positions=crystal.frac_coords
    )
    phonons = Phonopy(cell, supercell_matrix=np.eye(3, dtype=int), primitive_matrix=np.eye(3))
    phonons.generate_displacements(distance=distance_angstrom)
    supercells = phonons.supercells_with_displacements
    assert supercells is not None  # generated above
    displaced = [
        Crystal(crystal.id, crystal.species, crystal.lattice, supercell.scaled_positions)
        for supercell in supercells
    ]
    return phonons, displaced


def gamma_frequencies(phonons: Phonopy, forces: Sequence[Sequence[Sequence[float]]]) -> list[float]:
    """Return the frequencies at Γ in THz, ascending, imaginary as negative; the acoustic sum rule holds.

    Args:
        phonons: of `gamma_displacements`.
        forces: of its displaced crystals in order, shape (displacements, atoms, 3), eV/Å.
    """
    phonons.forces = np.array(forces)
    phonons.produce_force_constants()
    phonons.symmetrize_force_constants()
    return sorted(float(value) for value in phonons.get_frequencies([0.0, 0.0, 0.0]))


def _environment() -> dict[str, str]:
    """One thread, and nothing of this Python's paths or of a user's own data sets."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "GPAW_"))}
    return own | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def _end_group(process: subprocess.Popen) -> None:
    """Kill the process and all that it started; nothing happens to one that has ended."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdin:
        process.stdin.close()


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""
