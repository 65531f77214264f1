"""A calculation by GPAW: `python gpaw_process.py IN.json OUT.json`, with the Python of GPAW's environment.

GPAW is under the GPL, so it stays behind files: this script imports nothing of matwheel, and matwheel imports
nothing of GPAW. `matwheel.dft.dft` writes the input, starts this process and reads the result.

Input: `task` (single_point, relaxation, forces), `species`, `lattice` (3 × 3, Å), `frac_coords` (atoms × 3),
`kpoints` (3 numbers), for the relaxation of a layer its `normal` (3 numbers), settings of
`matwheel.dft.dft.DFTSettings`, and for `forces` the `geometries` (a list of frac_coords) and a
`progress_file`. Output: `status` (ok, not_converged, scf_not_converged, refused),
`reason` and the figures; energies in eV, lengths in Å, pressures in GPa. Any other error ends the process
with a traceback.
`python gpaw_process.py --environment XC` prints the versions and the elements with a data set for XC.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

EV_PER_ANGSTROM3_IN_GPA = 160.21766208
# Ferromagnetic start for elements that often carry a moment (μB); the self-consistent moment may be zero.
INITIAL_MOMENTS = {
    **{"V": 3.0, "Cr": 4.0, "Mn": 5.0, "Fe": 4.0, "Co": 3.0, "Ni": 2.0},
    **{"Ce": 1.0, "Pr": 2.0, "Nd": 3.0, "Pm": 4.0, "Sm": 5.0, "Eu": 7.0, "Gd": 7.0},
    **{"Tb": 6.0, "Dy": 5.0, "Ho": 4.0, "Er": 3.0, "Tm": 2.0, "Yb": 1.0},
}
CUTOFF_STEP = 0.02  # relative step of the cutoff in the derivative of the energy
# Of fractional coordinates; looser than GPAW's own, for the noise of a relaxation in single precision.
SYMMETRY_TOLERANCE = 1e-5
LARGEST_SCF_STEPS = 200


def band_edges(eigenvalues: NDArray[np.float64], fermi_level: float) -> tuple[float, float | None]:
    """Return the band gap and the valence-band maximum on the mesh of k-points, both in eV.

    Args:
        eigenvalues: shape (spins, k-points, bands), eV.
        fermi_level: eV.

    Returns:
        The smallest difference between an empty and an occupied state, over both spins; 0 and None for a
        metal, where some band is occupied at one k-point only.
    """
    eigenvalues = np.asarray(eigenvalues, dtype=float)
    occupied = (eigenvalues < fermi_level).sum(axis=2)
    if (occupied != occupied[:, :1]).any():
        return 0.0, None
    # A spin channel without electrons has no valence band, and one without empty bands no conduction band.
    valence = [spin[:, n - 1].max() for spin, n in zip(eigenvalues, occupied[:, 0], strict=True) if n > 0]
    conduction = [
        spin[:, n].min() for spin, n in zip(eigenvalues, occupied[:, 0], strict=True) if n < spin.shape[1]
    ]
    if not valence or not conduction:
        raise ValueError("no occupied or no empty band was computed")
    return float(min(conduction) - max(valence)), float(max(valence))


def pulay_pressure(
    energy_ev: float, higher_cutoff_energy_ev: float, cutoff_ev: float, volume_angstrom3: float
) -> float:
    """Return what is to be added to the pressure of a finite set of plane waves, GPa.

    The stress is that of a fixed number of waves, whose cutoff falls as the cell grows. At a fixed cutoff the
    pressure is higher by -(2/3) (E_cut / V) dE/dE_cut (Froyen and Cohen, J. Phys. C 19, 2623, 1986).
    """
    slope = (higher_cutoff_energy_ev - energy_ev) / (CUTOFF_STEP * cutoff_ev)
    return -2.0 / 3.0 * cutoff_ev / volume_angstrom3 * slope * EV_PER_ANGSTROM3_IN_GPA


def in_plane_stress(stress: NDArray[np.float64], normal: Any) -> NDArray[np.float64]:
    """Return the part of a stress that lies in the plane of a layer.

    Args:
        stress: xx, yy, zz, yz, xz, xy.
        normal: unit vector upright on the plane, shape (3,).
    """
    xx, yy, zz, yz, xz, xy = stress
    plane = np.eye(3) - np.outer(normal, normal)
    full = plane @ np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]) @ plane
    return full[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]


def environment(xc: str) -> dict[str, Any]:
    """Return the versions of GPAW and its data, and the elements that have a data set for `xc`."""
    import gpaw_data

    suffix = f".{xc}.gz"
    names = [path.name.removesuffix(suffix) for path in Path(gpaw_data.datapath()).glob(f"*{suffix}")]
    return {
        "gpaw_version": version("gpaw"),
        "setups_version": version("gpaw-data"),
        "elements": sorted(name for name in names if "." not in name),
    }


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Do one task; return the result, an unfinished self-consistency or a missing data set included."""
    from gpaw import KohnShamConvergenceError
    from gpaw.new.scf import TooFewBandsError

    tasks = {"single_point": _single_point, "relaxation": _relaxation, "forces": _forces}
    missing = sorted(set(job["species"]) - set(environment(job["xc"])["elements"]))
    if missing:
        return {"status": "refused", "reason": f"GPAW has no {job['xc']} data set of {', '.join(missing)}"}
    try:
        try:
            result = tasks[job["task"]](job)
        except TooFewBandsError:  # the lowest empty state is not converged at some k-point
            result = tasks[job["task"]](job | {"bands": "200%"})
    except KohnShamConvergenceError as error:
        message = " ".join(str(error).split())
        return {"status": "scf_not_converged", "reason": f"the density did not converge: {message}"[:300]}
    return {"status": "ok", "reason": "", **result, "cpu_seconds": time.process_time()}


def _atoms(job: dict[str, Any], frac_coords: Any = None) -> Any:
    from ase import Atoms

    positions = job["frac_coords"] if frac_coords is None else frac_coords
    atoms = Atoms(job["species"], scaled_positions=positions, cell=job["lattice"], pbc=True)
    if job["spin"] == "always" or (job["spin"] == "auto" and set(job["species"]) & set(INITIAL_MOMENTS)):
        atoms.set_initial_magnetic_moments([INITIAL_MOMENTS.get(symbol, 0.5) for symbol in job["species"]])
    return atoms


def _calculator(job: dict[str, Any], atoms: Any, cutoff_ev: float | None = None) -> Any:
    from gpaw import GPAW

    return GPAW(
        mode={"name": "pw", "ecut": cutoff_ev or job["cutoff_ev"]},
        xc=job["xc"],
        kpts={"size": job["kpoints"], "gamma": True},
        occupations={"name": "fermi-dirac", "width": job["smearing_ev"]},
        setups=job["setups"],
        nbands=job.get("bands"),
        spinpol=bool(atoms.get_initial_magnetic_moments().any()),
        symmetry={"tolerance": SYMMETRY_TOLERANCE},
        # Empty states are not converged unless asked for, and the gap needs the lowest one.
        convergence={"bands": "CBM+0.1", "forces": job["force_convergence_ev_per_angstrom"]},
        maxiter=LARGEST_SCF_STEPS,
        txt="-",
    )


def _figures(job: dict[str, Any], atoms: Any, calculator: Any, pulay_gpa: float) -> dict[str, Any]:
    """Return what a converged calculation says of its geometry."""
    stress = atoms.get_stress(voigt=True) * EV_PER_ANGSTROM3_IN_GPA
    stress[:3] -= pulay_gpa
    fermi_level = float(calculator.get_fermi_level())
    gap, valence_band_maximum = band_edges(calculator.eigenvalues(), fermi_level)
    polarized = calculator.get_number_of_spins() == 2
    return {
        "energy_ev": float(atoms.get_potential_energy()),
        "forces_ev_per_angstrom": atoms.get_forces().tolist(),
        "stress_gpa": stress.tolist(),
        "pulay_pressure_gpa": pulay_gpa,
        "band_gap_ev": gap,
        "valence_band_maximum_ev": valence_band_maximum,
        "fermi_level_ev": fermi_level,
        "magnetic_moments": calculator.get_magnetic_moments(atoms).tolist() if polarized else None,
        "setups": {
            setup.symbol: f"{setup.type} {setup.fingerprint}"
            for setup in calculator.dft.setups.setups.values()
        },
        "irreducible_kpoints": len(calculator.get_ibz_k_points()),
        "kpoints": list(job["kpoints"]),
        "cutoff_ev": job["cutoff_ev"],
    }


def _pulay(job: dict[str, Any], atoms: Any) -> float:
    if not job["pulay_correction"]:
        return 0.0
    energy = atoms.get_potential_energy()
    # On the same k-points: with few of them the steps in the number of plane waves show (0.4 GPa for Ag3SBr).
    finer = atoms.copy()
    finer.calc = _calculator(job, atoms, job["cutoff_ev"] * (1 + CUTOFF_STEP))
    return pulay_pressure(energy, finer.get_potential_energy(), job["cutoff_ev"], atoms.get_volume())


def _single_point(job: dict[str, Any]) -> dict[str, Any]:
    atoms = _atoms(job)
    atoms.calc = calculator = _calculator(job, atoms)
    atoms.get_potential_energy()
    return _figures(job, atoms, calculator, _pulay(job, atoms))


def _relaxation(job: dict[str, Any]) -> dict[str, Any]:
    """Relax positions and cell; k-points and the Pulay term of the energy stay as at the first geometry.

    Of a layer the cell is relaxed in its plane.
    """
    from ase.calculators.calculator import Calculator, all_changes
    from ase.filters import FrechetCellFilter
    from ase.optimize import BFGS

    atoms = _atoms(job)
    atoms.calc = gpaw = _calculator(job, atoms)
    energy_initial = float(atoms.get_potential_energy())
    pulay_times_volume = _pulay(job, atoms) * atoms.get_volume()

    class AtFixedCutoff(Calculator):
        """GPAW with the stress that belongs to its energies, which have a fixed cutoff."""

        implemented_properties = ("energy", "forces", "stress")  # type: ignore[assignment]  # ASE takes any sequence

        def calculate(
            self, atoms: Any = None, properties: Any = ("energy",), system_changes: Any = all_changes
        ):
            super().calculate(atoms, properties, system_changes)
            stress = gpaw.get_property("stress", self.atoms).copy()
            stress[:3] -= pulay_times_volume / self.atoms.get_volume() / EV_PER_ANGSTROM3_IN_GPA
            if "normal" in job:
                stress = in_plane_stress(stress, job["normal"])
            self.results = {
                "energy": gpaw.get_property("energy", self.atoms),
                "forces": gpaw.get_property("forces", self.atoms),
                "stress": stress,
            }

    atoms.calc = AtFixedCutoff()
    optimizer = BFGS(FrechetCellFilter(atoms), logfile="-")  # type: ignore[arg-type]  # ASE moves filters of atoms too
    converged = optimizer.run(fmax=job["fmax_ev_per_angstrom"], steps=job["max_steps"])
    atoms.calc = gpaw
    result = {
        **_figures(job, atoms, gpaw, pulay_times_volume / atoms.get_volume()),
        "energy_initial_ev": energy_initial,
        "steps": int(optimizer.nsteps),
        "lattice": atoms.cell.array.tolist(),
        "frac_coords": atoms.get_scaled_positions(wrap=False).tolist(),
    }
    if not converged:
        result |= {"status": "not_converged", "reason": f"forces left after {optimizer.nsteps} steps"}
    return result


def _forces(job: dict[str, Any]) -> dict[str, Any]:
    """Return the forces of each geometry.

    Each has a symmetry, hence a calculator, of its own. The forces of a finished one go to `progress_file` at
    once (a line of JSON), and what an earlier process left there is not computed again.
    """
    progress = Path(job["progress_file"])
    forces = finished_lines(progress)
    for frac_coords in job["geometries"][len(forces) :]:
        atoms = _atoms(job, frac_coords)
        atoms.calc = _calculator(job, atoms)
        forces.append(atoms.get_forces().tolist())
        with progress.open("a", encoding="utf-8") as file:
            file.write(json.dumps(forces[-1]) + "\n")
    return {
        "geometry_forces_ev_per_angstrom": forces,
        "kpoints": list(job["kpoints"]),
        "cutoff_ev": job["cutoff_ev"],
    }


def finished_lines(path: Path) -> list[Any]:
    """Return the content of the lines of JSON in a file; a last line that was not finished is cut off."""
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole, encoding="utf-8")
    return [json.loads(line) for line in whole.splitlines()]


def _end_with_the_parent() -> None:
    """End this process when the one that started it is gone: its end of our standard input closes then."""

    def wait() -> None:
        while os.read(0, 1):
            pass
        os._exit(3)

    threading.Thread(target=wait, daemon=True).start()


def main(arguments: list[str]) -> None:
    """Run as a script; see the top of the file."""
    if arguments[0] == "--environment":
        print(json.dumps(environment(arguments[1])))
        return
    _end_with_the_parent()
    result = run(json.loads(Path(arguments[0]).read_text(encoding="utf-8")))
    target = Path(arguments[1])
    partial = target.with_name(f".partial-{target.name}")
    partial.write_text(json.dumps(result, allow_nan=False), encoding="utf-8")
    partial.replace(target)


if __name__ == "__main__":
    main(sys.argv[1:])
