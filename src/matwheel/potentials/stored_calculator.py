"""A potential that is asked once for every geometry: an ASE calculator in front of the store.

What is stored are single evaluations, energy with forces and stress, before any threshold: a relaxation,
phonons or a search that is run again with other limits walks through what it has computed before and goes on
from there. Settings are no part of a key; only what shapes the numbers is: the geometry to the last bit, the
potential with its weights, the precision, the device and the code behind it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from ase.calculators.calculator import Calculator, all_changes

import matwheel
from matwheel.core.progress import Log
from matwheel.core.store import Records, digest
from matwheel.potentials.potentials import (
    POTENTIALS,
    definition,
    device_of,
    has_double_precision,
    make_calculator,
    potential_card,
)
from matwheel.runs.code_version import code_version, library_version

if TYPE_CHECKING:
    from ase import Atoms

_KEPT = ("energy", "free_energy", "forces", "stress")
_LIBRARIES = ("ase", "numpy", "torch")


class StoredCalculator(Calculator):
    """Energy, forces and stress of a potential, from the store where it has them.

    Args:
        make: makes the calculator of the potential, when it is first needed: loading takes seconds.
        records: of the method that this potential is.

    Attributes:
        computed, found: evaluations by the potential and from the store.
        stored_seconds: wall time that the evaluations from the store had taken.
        loading_seconds: wall time of making the calculator of the potential.
    """

    implemented_properties: ClassVar[list[str]] = list(_KEPT)  # type: ignore[misc]  # a variable of the class in ASE too

    def __init__(self, make: Callable[[], Calculator], records: Records) -> None:
        super().__init__()
        self._make, self._records = make, records
        self._calculator: Calculator | None = None
        self.computed = self.found = 0
        self.stored_seconds = self.loading_seconds = 0.0

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] | None = None,
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Look the geometry up, and compute it where it is new."""
        super().calculate(atoms, properties, system_changes)
        wanted = set(properties or ("energy",))
        key = geometry_key(self.atoms)
        stored = self._records.get(key)
        if stored is not None and wanted <= set(stored):
            self.found += 1
            self.stored_seconds += float(stored.pop("seconds"))
            self.results = {name: value[()] for name, value in stored.items()}
            return
        self.results = self._computed(wanted, key)

    def _computed(self, wanted: set[str], key: bytes) -> dict[str, Any]:
        started = time.perf_counter()
        if self._calculator is None:
            self._calculator = self._make()
            self.loading_seconds, started = time.perf_counter() - started, time.perf_counter()
        # As if it were new to it: what it remembers of other geometries, such as lists of neighbours in the
        # order of an earlier one, changes the last bits.
        self._calculator.reset()
        self._calculator.calculate(self.atoms.copy(), sorted(wanted | {"energy", "forces"}), all_changes)
        seconds = time.perf_counter() - started
        self.computed += 1
        results = {name: self._calculator.results[name] for name in _KEPT if name in self._calculator.results}
        self._records.put(key, {**results, "seconds": seconds})
        return results


def geometry_key(atoms: Atoms) -> bytes:
    """Return the key of a geometry: elements, positions, cell, periodicity, initial moments and charges."""
    parts = [
        np.asarray(atoms.numbers, dtype=np.int64),
        np.asarray(atoms.positions, dtype=np.float64),
        np.asarray(atoms.cell.array, dtype=np.float64),
        np.asarray(atoms.pbc, dtype=np.bool_),
        np.asarray(atoms.get_initial_magnetic_moments(), dtype=np.float64),
        np.asarray(atoms.get_initial_charges(), dtype=np.float64),
    ]
    return digest(*(np.ascontiguousarray(part).tobytes() for part in parts))


@contextmanager
def stored_calculator(
    name: str,
    store: str | Path,
    log: Log,
    *,
    device: str = "cpu",
    double_precision: bool | None = False,
) -> Iterator[StoredCalculator]:
    """Yield the calculator of a potential that looks into a store first; at the end log what it took.

    Args:
        name: a name of `POTENTIALS`.
        store: folder of the store.
        device: as for `make_calculator`.
        double_precision: None for float64 where the potential has it on that device.

    Raises:
        InputError: unknown potential, its package is missing, or it lacks the device or the precision.
    """
    if double_precision is None:
        double_precision = has_double_precision(name, device)
    records = Records(store, method_of(name, device=device, double_precision=double_precision), log)
    calculator = StoredCalculator(
        lambda: make_calculator(name, device=device, double_precision=bool(double_precision)), records
    )
    try:
        yield calculator
    finally:
        records.close()
        log(f"{name}: {calculator.computed} evaluations computed, {calculator.found} found in the store")


def method_of(name: str, *, device: str = "cpu", double_precision: bool = False) -> dict[str, Any]:
    """Return all that shapes the numbers of a potential, besides the geometry.

    Raises:
        InputError: unknown potential, its package or weights are missing, or it lacks the device.
    """
    card = potential_card(name)
    return {
        "potential": name,
        "package": f"{card.package} {card.package_version}",
        "weights_sha256": card.weights_sha256,
        "definition": definition(name),
        "device": device_of(name, device),
        "double_precision": double_precision,
        "code": _code_behind(name),
    }


def _code_behind(name: str) -> str:
    """Return what stands for the code of a potential: the module here that computes, or its libraries."""
    potential = POTENTIALS[name]
    module = potential.computed_by or potential.module
    if module.split(".")[0] == matwheel.__name__:
        spec = find_spec(module)
        assert spec is not None and spec.origin is not None
        return code_version(spec.origin, source_root=Path(matwheel.__file__).parents[1])
    versions = [f"{library} {library_version(library)}" for library in (*_LIBRARIES, potential.package)]
    return sha256("\n".join(versions).encode()).hexdigest()[:16]
