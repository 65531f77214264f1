"""SevenNet on the CPU, several times faster than its package; the weights file is the package's own.

The network is that of Park, Kim, Hwang and Han, J. Chem. Theory Comput. 20, 4857 (2024), in the form of the
checkpoints 7net-0 and 7net-l3i5: five blocks, each

    x' = gate(x W_self + convolution(x W_1) W_2).

Features x of degree l have shape (atoms, 2l+1, channels). The convolution couples a neighbour's features
with the spherical harmonics of the edge, weighted by a small network of the edge's length. The gate applies
x·sigmoid(x) to the scalars; some of them then scale the higher degrees. What makes it fast: one compiled
loop over edges instead of hundreds of tensor operations, the radial network once per pair of atoms instead
of once per direction, and a gradient written out by hand. It agrees with the package to the rounding of
single precision (a test holds that).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from numpy.typing import NDArray

from matwheel.core.errors import InputError
from matwheel.potentials.sevennet_kernels import IN_START, OUT_START, convolve, convolve_backwards

Array = NDArray[np.floating]


def make_sevennet_calculator(
    weights: str | Path, *, device: str = "cpu", double_precision: bool = False
) -> Calculator:
    """Return an ASE calculator of a SevenNet checkpoint: on the CPU the one below, on CUDA the package's.

    Raises:
        InputError: a checkpoint of another architecture, or double precision on CUDA.
    """
    if device == "cpu":
        return SevenNetCpuCalculator(SevenNet.load(weights, double_precision=double_precision))
    if double_precision:
        raise InputError("SevenNet has double precision on the CPU only; set device to cpu")
    from sevenn.calculator import SevenNetCalculator

    return SevenNetCalculator(model=str(weights), device=device)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Energy (eV) of each atom, forces (atoms, 3; eV/Å) and virial dE/dstrain (3, 3; eV)."""

    energies_ev: NDArray[np.float64]
    forces_ev_per_angstrom: NDArray[np.float64]
    virial_ev: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Edges:
    """Directed edges sorted by the atom they end at, and the undirected pair each belongs to."""

    first: NDArray[np.int64]  # (atoms + 1,): first edge that ends at each atom
    end: NDArray[np.int64]  # (edges,)
    source: NDArray[np.int64]  # (edges,)
    vectors: NDArray[np.float64]  # (edges, 3), Å, from end to source
    pair: NDArray[np.int64]  # (edges,)
    pair_lengths: NDArray[np.float64]  # (pairs,), Å


@dataclass(frozen=True, eq=False)
class _Layer:
    """One interaction block; all constants are folded into the weights."""

    inputs: tuple[int, ...]  # channels of each degree
    middle: tuple[int, ...]
    outputs: tuple[int, ...]
    first: tuple[Array, ...]  # per input degree: (channels, self-connection channels + channels)
    self_channels: tuple[int, ...]  # width of the self-connection in `first`; 0 where there is none
    second: tuple[Array, ...]  # per output degree: (middle channels, gate channels)
    radial: tuple[Array, Array, Array]
    activation: float  # factor of the activation, so that it keeps the variance of normal numbers
    paths: NDArray[np.int64]  # template for one atom, see `_paths_of`
    path_degrees: NDArray[np.int64]  # (paths, 2): l1, l3
    pairs: NDArray[np.int64]
    term_m2: NDArray[np.int64]
    term_value: Array


class SevenNet:
    """The network of one checkpoint.

    Attributes:
        cutoff_angstrom: range of the edges.
        atomic_numbers: elements it knows.
    """

    def __init__(self, state: Mapping[str, Any], config: Mapping[str, Any], dtype: Any) -> None:
        _check_architecture(config)
        self.dtype = np.dtype(dtype)
        self.cutoff_angstrom = float(config["cutoff"])
        self.atomic_numbers = frozenset(config["_type_map"])
        self._cutoff_function = dict(config["cutoff_function"])
        self._type_of = np.full(120, -1)
        self._type_of[list(config["_type_map"])] = list(config["_type_map"].values())
        arrays = {name: np.asarray(value, dtype=np.float64) for name, value in state.items()}
        self._frequencies = arrays["edge_embedding.basis_function.coeffs"]
        species = len(config["_type_map"])
        embedding = arrays["onehot_to_feature_x.linear.weight"].reshape(species, -1)
        self._embedding = (embedding / np.sqrt(species)).astype(self.dtype)
        degrees = [_channels_of(text) for text in config["irreps_manual"]]
        self.lmax = int(config["lmax"])
        self._layers = [
            _layer(arrays, number, degrees[number], degrees[number + 1], self.lmax, self.dtype)
            for number in range(config["num_convolution_layer"])
        ]
        hidden = arrays["reduce_input_to_hidden.linear.weight"].reshape(degrees[-1][0], -1)
        readout = hidden @ arrays["reduce_hidden_to_energy.linear.weight"]
        self._readout = (readout / np.sqrt(hidden.size)).astype(self.dtype)
        self._scale = np.broadcast_to(arrays["rescale_atomic_energy.scale"], species)
        self._shift = np.broadcast_to(arrays["rescale_atomic_energy.shift"], species)

    @classmethod
    def load(cls, path: str | Path, *, double_precision: bool = False) -> SevenNet:
        """Read a checkpoint; only tensors, arrays and plain values are unpickled.

        Raises:
            InputError: the file is of another architecture.
        """
        import torch
        from numpy._core import multiarray

        # Checkpoints were written with numpy 1, whose modules had another name.
        arrays: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
            (multiarray._reconstruct, "numpy.core.multiarray._reconstruct"),
            (multiarray.scalar, "numpy.core.multiarray.scalar"),
            np.ndarray,
            np.dtype,
            *(type(np.dtype(name)) for name in ("float32", "float64", "int64")),
        ]
        with torch.serialization.safe_globals(arrays):
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        dtype = np.float64 if double_precision else np.float32
        try:
            return cls(checkpoint["model_state_dict"], checkpoint["config"], dtype)
        except KeyError as error:
            raise InputError(
                f"{path}: not a checkpoint of SevenNet as known here, it has no {error}"
            ) from None

    def evaluate(
        self,
        atomic_numbers: NDArray[np.integer],
        positions_angstrom: NDArray[np.float64],
        cell_angstrom: NDArray[np.float64],
    ) -> Evaluation:
        """Return energies, forces and virial of a crystal.

        Raises:
            ValueError: an element that the network does not know.
        """
        types = self._type_of[atomic_numbers]
        if (types < 0).any():
            unknown = sorted(set(np.asarray(atomic_numbers)[types < 0].tolist()))
            raise ValueError(f"the potential does not know atomic number {unknown}")
        edges = _neighbours(positions_angstrom, cell_angstrom, self.cutoff_angstrom)
        with np.errstate(all="ignore"):
            energies, edge_gradient = self._energies_and_edge_gradient(types, edges)
        atoms = len(types)
        forces = np.stack(
            [
                np.bincount(edges.end, edge_gradient[:, axis], atoms)
                - np.bincount(edges.source, edge_gradient[:, axis], atoms)
                for axis in range(3)
            ],
            axis=1,
        )
        return Evaluation(energies, forces, edges.vectors.T @ edge_gradient)

    def _energies_and_edge_gradient(
        self, types: NDArray[np.integer], edges: _Edges
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        lengths = np.linalg.norm(edges.vectors, axis=1)
        directions = edges.vectors / lengths[:, None]
        harmonics = spherical_harmonics(directions, self.lmax).astype(self.dtype)
        radial_basis, radial_slope = self._radial_basis(edges.pair_lengths)
        basis = radial_basis.astype(self.dtype)

        features = [self._embedding[types][:, None, :]]
        tapes = []
        for layer in self._layers:
            features, tape = _forward(layer, features, basis, harmonics, edges)
            tapes.append(tape)
        scale = self._scale[types]
        energies = scale * (features[0][:, 0] @ self._readout) + self._shift[types]

        gradient = [(scale.astype(self.dtype)[:, None] * self._readout)[:, None, :]]
        basis_gradient = np.zeros_like(basis)
        harmonics_gradient = np.zeros_like(harmonics)
        for layer, tape in zip(reversed(self._layers), reversed(tapes), strict=True):
            gradient = _backward(
                layer, gradient, tape, basis, harmonics, edges, basis_gradient, harmonics_gradient
            )

        length_gradient = (basis_gradient * radial_slope).sum(axis=1)
        # A pair stands for two edges that share its part; for one, if the other rounds to beyond the cutoff.
        along = (length_gradient / np.bincount(edges.pair, minlength=len(length_gradient)))[edges.pair]
        across = spherical_harmonics_gradient(directions, self.lmax, harmonics_gradient.astype(np.float64))
        across -= (across * directions).sum(axis=1, keepdims=True) * directions
        return energies, along[:, None] * directions + across / lengths[:, None]

    def _radial_basis(self, lengths: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return sin(k r) / r × cutoff function, shape (pairs, basis), and its derivative by r."""
        r = lengths[:, None]
        phase = self._frequencies * r
        wave = 2.0 / self.cutoff_angstrom * np.sin(phase) / r
        wave_slope = 2.0 / self.cutoff_angstrom * self._frequencies * np.cos(phase) / r - wave / r
        envelope, envelope_slope = self._envelope(r)
        return wave * envelope, wave_slope * envelope + wave * envelope_slope

    def _envelope(self, r: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        end = self.cutoff_angstrom
        if self._cutoff_function["cutoff_function_name"] == "XPLOR":
            start = self._cutoff_function["cutoff_on"]
            s, range_cubed = r * r, (end**2 - start**2) ** 3
            value = (end**2 - s) ** 2 * (end**2 + 2 * s - 3 * start**2) / range_cubed
            slope = 12 * r * (end**2 - s) * (start**2 - s) / range_cubed
            return np.where(r < start, 1.0, value), np.where(r < start, 0.0, slope)
        p, x = self._cutoff_function["poly_cut_p_value"], r / end
        value = 1 - (p + 1) * (p + 2) / 2 * x**p + p * (p + 2) * x ** (p + 1) - p * (p + 1) / 2 * x ** (p + 2)
        slope = -p * (p + 1) * (p + 2) / 2 * x ** (p - 1) * (1 - x) ** 2 / end
        return value, slope


def spherical_harmonics(directions: NDArray[np.float64], lmax: int) -> NDArray[np.float64]:
    """Return real spherical harmonics of unit vectors, shape (vectors, (lmax+1)²), lmax ≤ 3.

    Order and phase: y is the polar axis, degree 1 is √3 (x, y, z); the squares of each degree sum to 2l+1.
    """
    x, y, z = directions.T
    values = [np.ones_like(x)]
    if lmax >= 1:
        values += [3**0.5 * c for c in (x, y, z)]
    if lmax >= 2:
        values += [5**0.5 * c for c in _degree2(x, y, z)]
    if lmax >= 3:
        d0, d4, rho = 3**0.5 * x * z, 3**0.5 / 2 * (z * z - x * x), x * x + z * z
        a, b, c = (5 / 6) ** 0.5, 5**0.5, (3 / 8) ** 0.5
        degree3 = (
            a * (d0 * z + d4 * x),
            b * d0 * y,
            c * (4 * y * y - rho) * x,
            0.5 * y * (2 * y * y - 3 * rho),
            c * (4 * y * y - rho) * z,
            b * d4 * y,
            a * (d4 * z - d0 * x),
        )
        values += [7**0.5 * c for c in degree3]
    return np.stack(values, axis=1)


def spherical_harmonics_gradient(
    directions: NDArray[np.float64], lmax: int, gradient: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return Σ_m gradient_m ∂Y_m/∂(x, y, z) for `spherical_harmonics` as polynomials, (vectors, 3)."""
    x, y, z = directions.T
    out = np.zeros_like(directions)
    if lmax >= 1:
        out += 3**0.5 * gradient[:, 1:4]
    if lmax >= 2:
        g = 5**0.5 * gradient[:, 4:9].T
        out += _degree2_gradient(x, y, z, g)
    if lmax >= 3:
        g = 7**0.5 * gradient[:, 9:16].T
        d0, d4, rho = 3**0.5 * x * z, 3**0.5 / 2 * (z * z - x * x), x * x + z * z
        a, b, c = (5 / 6) ** 0.5, 5**0.5, (3 / 8) ** 0.5
        by_d0 = a * (g[0] * z - g[6] * x) + b * g[1] * y
        by_d4 = a * (g[0] * x + g[6] * z) + b * g[5] * y
        by_rho = -c * (g[2] * x + g[4] * z) - 1.5 * g[3] * y
        steep = c * (4 * y * y - rho)
        gx = a * (g[0] * d4 - g[6] * d0) + steep * g[2] + 2 * x * by_rho
        gy = b * (g[1] * d0 + g[5] * d4) + 8 * c * y * (g[2] * x + g[4] * z) + g[3] * (3 * y * y - 1.5 * rho)
        gz = a * (g[0] * d0 + g[6] * d4) + steep * g[4] + 2 * z * by_rho
        gx += 3**0.5 * (z * by_d0 - x * by_d4)
        gz += 3**0.5 * (x * by_d0 + z * by_d4)
        out += np.stack([gx, gy, gz], axis=1)
    return out


def _degree2(x: Any, y: Any, z: Any) -> tuple[Any, ...]:
    root = 3**0.5
    return (
        root * x * z,
        root * x * y,
        y * y - 0.5 * (x * x + z * z),
        root * y * z,
        root / 2 * (z * z - x * x),
    )


def _degree2_gradient(x: Any, y: Any, z: Any, g: Any) -> NDArray[np.float64]:
    root = 3**0.5
    return np.stack(
        [
            root * (g[0] * z + g[1] * y - g[4] * x) - g[2] * x,
            root * (g[1] * x + g[3] * z) + 2 * g[2] * y,
            root * (g[0] * x + g[3] * y + g[4] * z) - g[2] * z,
        ],
        axis=1,
    )


def _forward(
    layer: _Layer, features: list[Array], basis: Array, harmonics: Array, edges: _Edges
) -> tuple[list[Array], tuple[Any, ...]]:
    """Apply one block; returns the new features and what the way back needs."""
    atoms = len(features[0])
    both = [x @ weights for x, weights in zip(features, layer.first, strict=True)]
    hidden = _flat([h[..., width:] for h, width in zip(both, layer.self_channels, strict=True)])
    radial, radial_tape = _radial_network(layer.radial, basis)
    sizes = [atoms * (2 * degree + 1) * channels for degree, channels in enumerate(layer.middle)]
    message = np.zeros(sum(sizes), dtype=hidden.dtype)
    paths = _paths_of(layer, atoms)
    tables = (paths, layer.pairs, layer.term_m2, layer.term_value)
    convolve(hidden, radial, harmonics, edges.first, edges.source, edges.pair, *tables, message)

    gated = []
    for degree, block in enumerate(_blocks(message, sizes, atoms)):
        z = block @ layer.second[degree]
        if degree < len(both) and layer.self_channels[degree]:
            z += both[degree][..., : layer.self_channels[degree]]
        gated.append(z)
    activated, slope = _silu(gated[0])
    activated *= layer.activation
    slope *= layer.activation
    start = layer.outputs[0]
    new = [activated[..., :start]]
    for degree, channels in enumerate(layer.outputs[1:], start=1):
        new.append(gated[degree] * activated[..., start : start + channels])
        start += channels
    return new, (hidden, radial, radial_tape, tables, gated, activated, slope)


def _backward(
    layer: _Layer,
    gradient: list[Array],
    tape: tuple[Any, ...],
    basis: Array,
    harmonics: Array,
    edges: _Edges,
    basis_gradient: Array,
    harmonics_gradient: Array,
) -> list[Array]:
    """Return the gradient by the block's input; add those by radial basis and harmonics to the last two."""
    hidden, radial, radial_tape, (paths, pairs, term_m2, term_value), gated, activated, slope = tape
    atoms = len(gradient[0])
    start = layer.outputs[0]
    scalars = np.empty_like(slope)
    scalars[..., :start] = gradient[0]
    by_gated = [scalars]
    for degree, channels in enumerate(layer.outputs[1:], start=1):
        part = slice(start, start + channels)
        scalars[..., part] = (gradient[degree] * gated[degree]).sum(axis=1, keepdims=True)
        by_gated.append(gradient[degree] * activated[..., part])
        start += channels
    scalars *= slope

    by_message = _flat([z @ weights.T for z, weights in zip(by_gated, layer.second, strict=True)])
    by_hidden, by_radial = np.zeros_like(hidden), np.zeros_like(radial)
    convolve_backwards(
        by_message,
        hidden,
        radial,
        harmonics,
        edges.first,
        edges.source,
        edges.pair,
        paths,
        pairs,
        term_m2,
        term_value,
        by_hidden,
        by_radial,
        harmonics_gradient,
    )
    basis_gradient += _radial_network_gradient(layer.radial, radial_tape, by_radial)

    sizes = [atoms * (2 * degree + 1) * channels for degree, channels in enumerate(layer.inputs)]
    out: list[Array] = []
    for degree, block in enumerate(_blocks(by_hidden, sizes, atoms)):
        both = block
        if layer.self_channels[degree]:
            both = np.concatenate([by_gated[degree], block], axis=-1)
        out.append(both @ layer.first[degree].T)
    return out


def _radial_network(weights: tuple[Array, Array, Array], basis: Array) -> tuple[Array, tuple[Array, ...]]:
    one, slope_one = _silu(basis @ weights[0])
    two, slope_two = _silu(one @ weights[1])
    return two @ weights[2], (slope_one, slope_two)


def _radial_network_gradient(
    weights: tuple[Array, Array, Array], slopes: tuple[Array, ...], gradient: Array
) -> Array:
    two = (gradient @ weights[2].T) * slopes[1]
    one = (two @ weights[1].T) * slopes[0]
    return one @ weights[0].T


def _silu(x: Array) -> tuple[Array, Array]:
    """Return x·sigmoid(x) and its derivative."""
    sigmoid = 1 / (1 + np.exp(-x))
    value = x * sigmoid
    return value, sigmoid + value * (1 - sigmoid)


def _flat(blocks: list[Array]) -> Array:
    return np.concatenate([block.reshape(-1) for block in blocks])


def _blocks(flat: Array, sizes: list[int], atoms: int) -> list[Array]:
    """Cut a flat array into its blocks of shape (atoms, 2l+1, channels)."""
    ends = np.cumsum(sizes)
    return [
        flat[end - size : end].reshape(atoms, 2 * degree + 1, -1)
        for degree, (size, end) in enumerate(zip(sizes, ends, strict=True))
    ]


def _paths_of(layer: _Layer, atoms: int) -> NDArray[np.int64]:
    """Return the table of paths with the offsets of the blocks for a crystal of this many atoms."""
    paths = layer.paths.copy()
    for column, side, channels in ((IN_START, 0, layer.inputs), (OUT_START, 1, layer.middle)):
        starts = np.cumsum([0, *(atoms * (2 * degree + 1) * c for degree, c in enumerate(channels))])
        paths[:, column] += starts[layer.path_degrees[:, side]]
    return paths


def _neighbours(positions: NDArray[np.float64], cell: NDArray[np.float64], cutoff: float) -> _Edges:
    from matscipy.neighbours import neighbour_list

    end, source, vectors, images = neighbour_list(
        "ijDS", pbc=np.ones(3, dtype=bool), cell=cell, positions=positions, cutoff=cutoff
    )
    order = np.argsort(end, kind="stable")
    end, source = end[order].astype(np.int64), source[order].astype(np.int64)
    vectors, images = vectors[order], images[order].astype(np.int64)
    # One key for an edge and its reverse: the direction whose (atoms, image) comes first.
    width = 2 * int(np.abs(images).max(initial=0)) + 1
    shifted = images + width // 2
    atoms = len(positions)

    def key(a: NDArray[np.int64], b: NDArray[np.int64], image: NDArray[np.int64]) -> NDArray[np.int64]:
        return (((a * atoms + b) * width + image[:, 0]) * width + image[:, 1]) * width + image[:, 2]

    keys = np.minimum(key(end, source, shifted), key(source, end, width - 1 - shifted))
    _, first_of_pair, pair = np.unique(keys, return_index=True, return_inverse=True)
    first = np.searchsorted(end, np.arange(atoms + 1))
    return _Edges(first, end, source, vectors, pair, np.linalg.norm(vectors[first_of_pair], axis=1))


def _layer(
    arrays: Mapping[str, Array],
    number: int,
    inputs: tuple[int, ...],
    outputs: tuple[int, ...],
    lmax: int,
    dtype: np.dtype,
) -> _Layer:
    gates = (outputs[0] + sum(outputs[1:]), *outputs[1:])
    couplings = [
        (l1, l2, l3)
        for l1 in range(len(inputs))
        for l2 in range(lmax + 1)
        for l3 in range(abs(l1 - l2), min(l1 + l2, len(outputs) - 1) + 1)
    ]
    middle = tuple(
        sum(inputs[l1] for l1, _, l3 in couplings if l3 == degree) for degree in range(len(outputs))
    )

    paths: list[tuple[int, ...]] = []
    pairs: list[tuple[int, int, int, int]] = []
    term_m2: list[int] = []
    term_value: list[float] = []
    columns: list[float] = []
    weight_start, channel_start = 0, [0] * len(outputs)
    for l1, l2, l3 in couplings:
        first_pair, channels = len(pairs), inputs[l1]
        tensor = _coupling(arrays, number, l1, l2, l3)
        for m1, m3 in np.argwhere(np.abs(tensor).max(axis=1) > 1e-6):
            first_term = len(term_m2)
            for m2 in np.flatnonzero(np.abs(tensor[m1, :, m3]) > 1e-6):
                term_m2.append(l2 * l2 + int(m2))
                term_value.append(tensor[m1, m2, m3])
            pairs.append((m1, m3, first_term, len(term_m2)))
        in_stride, out_stride = (2 * l1 + 1) * channels, (2 * l3 + 1) * middle[l3]
        row = (2 * l1 + 1, channels, 0, in_stride, weight_start, channel_start[l3], out_stride, middle[l3])
        paths.append((*row, first_pair, len(pairs)))
        columns += [(2 * l3 + 1) ** 0.5] * channels
        weight_start += channels
        channel_start[l3] += channels

    activation = _activation_scale()
    convolution = f"{number}_convolution"
    radial = [arrays[f"{convolution}.weight_nn.layer{k}.weight"] for k in range(3)]
    radial = [matrix / np.sqrt(len(matrix)) for matrix in radial]
    radial[1] = radial[1] * activation
    radial[2] = radial[2] * activation * np.array(columns) / arrays[f"{convolution}.denominator"]

    to_self = _linear(arrays[f"{number}_self_connection_intro.linear.weight"], inputs, gates)
    to_hidden = _linear(arrays[f"{number}_self_interaction_1.linear.weight"], inputs, inputs)
    first = [
        np.concatenate([to_self[degree], hidden], axis=1) if degree < len(to_self) else hidden
        for degree, hidden in enumerate(to_hidden)
    ]
    second = _linear(arrays[f"{number}_self_interaction_2.linear.weight"], middle, gates)
    return _Layer(
        inputs=inputs,
        middle=middle,
        outputs=outputs,
        first=tuple(matrix.astype(dtype) for matrix in first),
        self_channels=tuple(gates[degree] if degree < len(to_self) else 0 for degree in range(len(inputs))),
        second=tuple(matrix.astype(dtype) for matrix in second),
        radial=(radial[0].astype(dtype), radial[1].astype(dtype), radial[2].astype(dtype)),
        activation=activation,
        paths=np.array(paths, dtype=np.int64),
        path_degrees=np.array([(l1, l3) for l1, _, l3 in couplings], dtype=np.int64),
        pairs=np.array(pairs, dtype=np.int64),
        term_m2=np.array(term_m2, dtype=np.int64),
        term_value=np.array(term_value, dtype=dtype),
    )


def _linear(flat: Array, inputs: Sequence[int], outputs: Sequence[int]) -> list[Array]:
    """Return one matrix (input channels, output channels) per degree that both have."""
    matrices, start = [], 0
    for rows, columns in zip(inputs, outputs, strict=False):
        matrices.append(flat[start : start + rows * columns].reshape(rows, columns) / np.sqrt(rows))
        start += rows * columns
    if start != len(flat):
        raise InputError(
            f"a linear layer of the checkpoint has {len(flat)} weights where {start} were expected"
        )
    return matrices


def _coupling(arrays: Mapping[str, Array], number: int, l1: int, l2: int, l3: int) -> Array:
    """Return the Wigner 3j symbols of the real basis, shape (2 l1 + 1, 2 l2 + 1, 2 l3 + 1)."""
    shape = (2 * l1 + 1, 2 * l2 + 1, 2 * l3 + 1)
    if 0 not in (l1, l2, l3):
        return arrays[f"{number}_convolution.convolution._compiled_main_left_right._w3j_{l1}_{l2}_{l3}"]
    return (np.eye(max(shape)) / np.sqrt(max(shape))).reshape(shape)


def _activation_scale() -> float:
    """Return the factor that gives x·sigmoid(x) of normal numbers a mean square of 1.

    By the sample that the network was trained with; the integral differs in the fourth digit.
    """
    import torch

    sample = torch.randn(1_000_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return float(torch.nn.functional.silu(sample).pow(2).mean() ** -0.5)


def _channels_of(irreps: str) -> tuple[int, ...]:
    """Return the channels of each degree, e.g. (128, 64, 32) of '128x0e+64x1e+32x2e'."""
    found = [re.fullmatch(r"(\d+)x(\d+)e", part.strip()) for part in irreps.split("+")]
    parts = [part for part in found if part is not None]
    if len(parts) < len(found) or [int(part[2]) for part in parts] != list(range(len(parts))):
        raise InputError(f"features {irreps!r} of the checkpoint are not of even parity with degrees 0, 1, …")
    return tuple(int(part[1]) for part in parts)


def _check_architecture(config: Mapping[str, Any]) -> None:
    expected = {
        "is_parity": False,
        "interaction_type": "nequip",
        "self_connection_type": "linear",
        "use_bias_in_linear": False,
        "readout_as_fcn": False,
        "act_radial": "silu",
        "act_scalar": {"e": "silu", "o": "tanh"},
        "act_gate": {"e": "silu", "o": "tanh"},
        "_normalize_sph": True,
    }
    for name, value in expected.items():
        if config[name] != value:
            raise InputError(f"checkpoint of an unknown SevenNet: {name} is {config[name]!r}, not {value!r}")
    if config.get("use_modality", False) or config["lmax"] > 3 or not config["irreps_manual"]:
        raise InputError(
            "checkpoint of an unknown SevenNet: several modalities, lmax above 3 or no irreps_manual"
        )
    if tuple(int(part) for part in config["version"].split(".")[:2]) >= (0, 11):
        raise InputError(f"checkpoint of SevenNet {config['version']}: another order of weights since 0.11")


class SevenNetCpuCalculator(Calculator):
    """ASE calculator of a `SevenNet`, for crystals (periodic in all three directions)."""

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "energies", "forces", "stress"]  # type: ignore[misc]  # a variable of the class in ASE too

    def __init__(self, network: SevenNet) -> None:
        super().__init__()
        self.network = network

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] | None = None,
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Compute energy, forces and stress at once, as ASE asks for."""
        super().calculate(atoms, properties, system_changes)
        if not self.atoms.pbc.all():
            raise ValueError("this potential is for crystals: the atoms must be periodic in all directions")
        result = self.network.evaluate(self.atoms.numbers, self.atoms.positions, self.atoms.cell.array)
        energy = float(result.energies_ev.sum())
        stress = result.virial_ev / self.atoms.get_volume()
        stress = 0.5 * (stress + stress.T)
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "energies": result.energies_ev,
            "forces": result.forces_ev_per_angstrom,
            "stress": stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]],
        }
