"""All machine-learned (and classical) potentials by name. A new one is one entry here, see docs/extending.md.

A potential is anything that ASE can call: a module, a callable in it that returns an ASE calculator, and the
keyword arguments. Packages are imported only when a calculator is made. The weights of the potentials below
come with their packages, so nothing is fetched from the network.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
import warnings
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import import_module, metadata
from importlib.util import find_spec
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matwheel.core.errors import InputError
from matwheel.core.registries import Registry

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

# What the energies of a potential are:
# raw_pbe: as a PBE / PBE+U calculation gives them; MP2020 corrections are still to be added.
# mp2020_corrected: fitted to corrected energies; correcting them again is wrong by up to 0.35 eV/atom.
# arbitrary: no common zero with any set of reference phases, so no hull is possible.
RAW_PBE, MP2020_CORRECTED, ARBITRARY = "raw_pbe", "mp2020_corrected", "arbitrary"
ENERGY_KINDS = (RAW_PBE, MP2020_CORRECTED, ARBITRARY)

# The 89 elements of MPtrj (Deng et al., Nature Machine Intelligence 5, 1031, 2023): H to Bi, Ac to Pu.
_MPTRJ_ELEMENTS = frozenset(
    re.findall(
        "[A-Z][a-z]?",
        "HHeLiBeBCNOFNeNaMgAlSiPSClArKCaScTiVCrMnFeCoNiCuZnGaGeAsSeBrKrRbSrYZrNbMoTcRuRhPdAgCdInSnSbTeIXeCsBa"
        "LaCePrNdPmSmEuGdTbDyHoErTmYbLuHfTaWReOsIrPtAuHgTlPbBiAcThPaUNpPu",
    )
)


@dataclass(frozen=True)
class Potential:
    """How to make the calculator of one potential.

    Attributes:
        package: distribution that is installed, e.g. 'sevenn'; its version is recorded.
        module: module that holds the callable; of the package, or one here that reads its weights.
        callable: name of the class or function in the module (dots allowed) that returns an ASE calculator.
        energy_kind: one of `ENERGY_KINDS`.
        elements: elements it was fitted to; others are refused even where the code would accept them.
        arguments: fixed keyword arguments of the callable.
        weights: file of the weights, relative to the folder of `package` or absolute;
            empty for a potential whose parameters are code.
        weights_argument: keyword for the path of the weights; empty if the callable finds them itself.
        device_argument: keyword for 'cpu' or 'cuda'; empty if it runs on the CPU only.
        auto_device: what the device 'auto' means: 'cpu' where that is faster for small cells, else 'auto'.
        double_precision_argument: keyword that takes True for float64, on the CPU; empty if it cannot.
        computed_by: module here whose code shapes the numbers, where `module` only leads to it.
    """

    package: str
    module: str
    callable: str
    energy_kind: str
    elements: Collection[str]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    weights: str = ""
    weights_argument: str = ""
    device_argument: str = ""
    auto_device: str = "auto"
    double_precision_argument: str = ""
    computed_by: str = ""


@dataclass(frozen=True)
class PotentialCard:
    """What a result records of the potential that made it.

    Attributes:
        name: name in the registry.
        package: distribution, e.g. 'sevenn'.
        package_version: its installed version.
        weights_sha256: sha256 of the weights file; empty for a potential whose parameters are code.
        energy_kind: one of `ENERGY_KINDS`.
    """

    name: str
    package: str
    package_version: str
    weights_sha256: str
    energy_kind: str

    @property
    def version(self) -> str:
        """Version of package and weights in one word, e.g. 'sevenn 0.13.0 5cc5…'."""
        return f"{self.package} {self.package_version} {self.weights_sha256[:12]}".strip()


def sevennet_calculator(**arguments: Any) -> Calculator:
    """Return `matwheel.potentials.sevennet.make_sevennet_calculator`'s calculator.

    The import is written out, so that a change of that module counts as a change of this one.
    """
    from matwheel.potentials.sevennet import make_sevennet_calculator

    return make_sevennet_calculator(**arguments)


def _sevennet(weights: str) -> Potential:
    return Potential(
        package="sevenn",
        module=__name__,
        callable="sevennet_calculator",
        energy_kind=RAW_PBE,
        elements=_MPTRJ_ELEMENTS,
        weights=f"pretrained_potentials/{weights}",
        weights_argument="weights",
        device_argument="device",
        auto_device="cpu",
        double_precision_argument="double_precision",
        computed_by="matwheel.potentials.sevennet",
    )


POTENTIALS: Registry[Potential] = {
    "7net-0": _sevennet("SevenNet_0__11Jul2024/checkpoint_sevennet_0.pth"),
    "7net-l3i5": _sevennet("SevenNet_l3i5/checkpoint_l3i5.pth"),
    "chgnet:0.3.0": Potential(
        package="chgnet",
        module="chgnet.model.dynamics",
        callable="CHGNetCalculator.from_file",
        energy_kind=MP2020_CORRECTED,
        elements=_MPTRJ_ELEMENTS,
        arguments={"on_isolated_atoms": "ignore"},
        weights="pretrained/0.3.0/chgnet_0.3.0_e29f68s314m37.pth.tar",
        weights_argument="path",
        device_argument="use_device",
    ),
    "emt": Potential(
        package="ase",
        module="ase.calculators.emt",
        callable="EMT",
        energy_kind=ARBITRARY,
        elements=frozenset({"Al", "Ni", "Cu", "Pd", "Ag", "Pt", "Au"}),
    ),
}


def make_calculator(name: str, *, device: str = "cpu", double_precision: bool = False) -> Calculator:
    """Return a new calculator; loading takes seconds, so keep it for a whole batch.

    Threads are left as they are: one per process is fastest, and that is for the job to set.

    Args:
        name: a name of `POTENTIALS`.
        device: 'cpu', 'cuda', or 'auto' for CUDA when the job has it and the potential gains from it.
        double_precision: compute in float64, for finite displacements.

    Raises:
        InputError: unknown potential, package not installed, or a device or precision that it does not have.
    """
    potential = _potential(name)
    arguments = dict(potential.arguments)
    if potential.weights and potential.weights_argument:
        arguments[potential.weights_argument] = str(weights_path(name))
    device = _device(name, potential, device)
    if potential.device_argument:
        arguments[potential.device_argument] = device
    if double_precision:
        if not potential.double_precision_argument:
            raise InputError(f"potential {name!r} has no double precision; set double_precision to false")
        arguments[potential.double_precision_argument] = True
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            return attrgetter(potential.callable)(import_module(potential.module))(**arguments)
        except ModuleNotFoundError as error:
            raise InputError(
                f"potential {name!r} needs the module {error.name}; install the package {potential.package}"
            ) from error


def has_double_precision(name: str, device: str = "cpu") -> bool:
    """Say whether `make_calculator` can give the potential in float64 on this device.

    Raises:
        InputError: unknown potential, or a device that it does not have.
    """
    potential = _potential(name)
    return bool(potential.double_precision_argument) and _device(name, potential, device) == "cpu"


def device_of(name: str, device: str) -> str:
    """Return the device that a potential runs on where `device` is asked for: 'cpu' or 'cuda'.

    Raises:
        InputError: unknown potential, or a device that it does not have.
    """
    return _device(name, _potential(name), device)


def potential_card(name: str) -> PotentialCard:
    """Return what to record of a potential: versions and hash of the weights.

    Raises:
        InputError: unknown potential, or its package or weights are missing.
    """
    potential = _potential(name)
    try:
        version = metadata.version(potential.package)
    except metadata.PackageNotFoundError:
        raise _not_installed(name, potential) from None
    digest = _sha256(weights_path(name)) if potential.weights else ""
    return PotentialCard(name, potential.package, version, digest, potential.energy_kind)


def definition(name: str) -> str:
    """Return 16 hexadecimal digits that stand for a potential's entry, for what must see it change.

    Raises:
        InputError: unknown potential.
    """
    # A set of strings has another order in every process.
    entry = replace(_potential(name), elements=tuple(sorted(_potential(name).elements)))
    return hashlib.sha256(repr(entry).encode()).hexdigest()[:16]


def weights_path(name: str) -> Path:
    """Return the file that holds the weights of a potential.

    Raises:
        InputError: unknown potential, package not installed, or no such file.
    """
    potential = _potential(name)
    if not potential.weights:
        raise InputError(f"potential {name!r} has no weights file: its parameters are code")
    package = find_spec(potential.package)
    if package is None or not package.submodule_search_locations:
        raise _not_installed(name, potential)
    path = Path(package.submodule_search_locations[0]) / potential.weights
    if not path.is_file():
        raise InputError(
            f"weights of potential {name!r} not found: {path}; reinstall the package {potential.package}"
        )
    return path


def supports(name: str, elements: Iterable[str]) -> set[str]:
    """Return those of `elements` that the potential was not fitted to; empty when it supports them all.

    Raises:
        InputError: unknown potential.
    """
    return set(elements).difference(_potential(name).elements)


def _potential(name: str) -> Potential:
    if name not in POTENTIALS:
        raise InputError(f"unknown potential {name!r}; choose one of {', '.join(POTENTIALS)}")
    return POTENTIALS[name]


def _not_installed(name: str, potential: Potential) -> InputError:
    return InputError(
        f"potential {name!r} needs the package {potential.package}; 'pip install {potential.package}'"
    )


def _device(name: str, potential: Potential, device: str) -> str:
    if not potential.device_argument:
        if device == "cuda":
            raise InputError(f"potential {name!r} runs on the CPU only; set device to auto or cpu")
        return "cpu"
    device = potential.auto_device if device == "auto" else device
    if device == "cpu":
        return device
    from matwheel.training.devices import resolve_device

    try:
        return str(resolve_device(device))
    except ValueError as error:
        raise InputError(str(error)) from None


@cache
def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
