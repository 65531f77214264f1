"""Graph convolutions of CGCNN (Xie & Grossman, Phys. Rev. Lett. 120, 145301, eq. 5), and graphs as tensors.

The same function as published, arranged for speed: the linear map of the concatenated
[h_target, h_source, edge] is split by operand, so the node parts are computed once per node and
gathered; batches are flat arrays; batch normalisation, gate and their derivatives are one operation.
Edges carry weights (see `crystals.graphs`), and every sum over edges honours them, the statistics of
the batch normalisation too.

Apart from `cgcnn`, since a generator encodes crystals with them too: the predictor's network is none of its
business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from matwheel.crystals.graphs import CrystalGraphs

_EPSILON = 1e-5
_MOMENTUM = 0.1
_EDGES_PER_BLOCK = 2048


@dataclass(frozen=True, eq=False)
class GraphTensors:
    """Some crystals' graphs as one batch of flat tensors.

    Attributes:
        atomic_numbers: shape (atoms,).
        crystal: crystal of each atom, counted in the batch, shape (atoms,), sorted.
        source, target: atoms of each edge, counted in the batch, shape (edges,).
        distance: shape (edges,), Å.
        weight: shape (edges,).
        crystals: number of crystals.
    """

    atomic_numbers: Tensor
    crystal: Tensor
    source: Tensor
    target: Tensor
    distance: Tensor
    weight: Tensor
    crystals: int


def graph_tensors(
    graphs: CrystalGraphs, rows: NDArray[np.int64] | None = None, device: torch.device | str = "cpu"
) -> GraphTensors:
    """Return the graphs at the positions `rows` (all when None) as one batch."""
    part = graphs if rows is None else graphs.take(rows)
    atom_counts, edge_counts = np.diff(part.atom_offsets), np.diff(part.edge_offsets)
    first_atom = np.repeat(part.atom_offsets[:-1], edge_counts)

    def tensor(values: NDArray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(device)

    return GraphTensors(
        atomic_numbers=tensor(part.atomic_numbers),
        crystal=tensor(np.repeat(np.arange(len(part)), atom_counts)),
        source=tensor(part.source + first_atom),
        target=tensor(part.target + first_atom),
        distance=tensor(part.distance),
        weight=tensor(part.weight),
        crystals=len(part),
    )


class GaussianBasis(nn.Module):
    """Gaussians of the distance: exp(-((d - centre) / step)²), centres 0, step, ..., largest."""

    centres: Tensor

    def __init__(self, largest_angstrom: float = 8.0, step_angstrom: float = 0.2) -> None:
        super().__init__()
        count = round(largest_angstrom / step_angstrom) + 1
        self.step = step_angstrom
        self.register_buffer("centres", torch.arange(count, dtype=torch.float32) * step_angstrom)

    @property
    def width(self) -> int:
        """Number of Gaussians."""
        return len(self.centres)

    def forward(self, distance: Tensor) -> Tensor:
        """Return the basis of distances (edges,) as (edges, width)."""
        scaled = (distance[:, None] - self.centres) / self.step
        if scaled.requires_grad:
            return torch.exp(-(scaled**2))
        return scaled.square_().neg_().exp_()


class GraphConvolution(nn.Module):
    """One convolution: h_i ← softplus(h_i + BN(Σ_j w_ij σ(gate_ij) softplus(core_ij))).

    gate and core are the halves of BN(W [h_i, h_j, e_ij]). The published map has a bias, which the
    batch normalisation right after it takes away again; it is left out.
    """

    def __init__(self, node_width: int, edge_width: int) -> None:
        super().__init__()
        self.of_target = nn.Linear(node_width, 2 * node_width, bias=False)
        self.of_source = nn.Linear(node_width, 2 * node_width, bias=False)
        self.of_edge = nn.Linear(edge_width, 2 * node_width, bias=False)
        # The three are one published linear layer and start as it would.
        bound = (2 * node_width + edge_width) ** -0.5
        for part in (self.of_target, self.of_source, self.of_edge):
            nn.init.uniform_(part.weight, -bound, bound)
        self.gate = GatedSum(node_width)
        self.normalise = NodeBatchNorm(node_width, eps=_EPSILON, momentum=_MOMENTUM)

    def forward(
        self,
        nodes: Tensor,
        source: Tensor,
        target: Tensor,
        edge_features: Tensor,
        edge_weight: Tensor | None = None,
        edge_row: Tensor | None = None,
    ) -> Tensor:
        """Return new node features (N, node_width).

        `nodes` (N, node_width); `source`, `target` (E,): edges along which messages flow from source
        to target; `edge_features` (E, edge_width); `edge_weight` (E,), all 1 when None. With
        `edge_row` (E,), `edge_features` holds each distinct row once and edge e has row edge_row[e].
        """
        gathered = self.gate(
            self.of_target(nodes),
            self.of_source(nodes),
            self.of_edge(edge_features),
            source,
            target,
            edge_row,
            edge_weight,
        )
        return functional.softplus(nodes + self.normalise(gathered))


class NodeBatchNorm(nn.BatchNorm1d):
    """Batch normalisation that falls back on its running statistics for a batch of a single row."""

    def forward(self, values: Tensor) -> Tensor:
        """Normalise values (N, width)."""
        if self.training and len(values) > 1:
            return super().forward(values)
        return functional.batch_norm(
            values, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
        )


class GatedSum(nn.Module):
    """Σ_j w_ij σ(gate_ij) softplus(core_ij), where gate and core are batch-normalised over the edges.

    The statistics weigh each edge by its w_ij.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2 * width))
        self.bias = nn.Parameter(torch.zeros(2 * width))
        self.register_buffer("running_mean", torch.zeros(2 * width))
        self.register_buffer("running_var", torch.ones(2 * width))

    def forward(
        self,
        of_target: Tensor,
        of_source: Tensor,
        of_edge: Tensor,
        source: Tensor,
        target: Tensor,
        edge_row: Tensor | None = None,
        edge_weight: Tensor | None = None,
    ) -> Tensor:
        """Return sums (N, width) over the edges of each target.

        Gate and core of edge e are the halves of of_target[target[e]] + of_source[source[e]] +
        of_edge[edge_row[e]], all of 2 · width columns; without `edge_row`, of_edge[e].
        """
        edges = len(source)
        if edge_weight is None:
            edge_weight = of_edge.new_ones(edges)
        use_batch = self.training and edges > 1
        gathered, mean, variance = _GatedSum.apply(
            of_target,
            of_source,
            of_edge,
            self.weight,
            self.bias,
            source,
            target,
            torch.arange(edges, device=source.device) if edge_row is None else edge_row,
            edge_weight,
            None if use_batch else self.running_mean,
            None if use_batch else self.running_var,
        )
        if use_batch:
            with torch.no_grad():
                self.running_mean.lerp_(mean, _MOMENTUM)
                self.running_var.lerp_(variance, _MOMENTUM)
        return gathered


class _GatedSum(torch.autograd.Function):
    """The arithmetic of `GatedSum` with its derivative written out.

    Tensors of one row per edge do not fit into the processor's caches, and reading and writing them is
    what costs time; so on a CPU the edges are worked through in blocks that fit. The mean over the
    edges is a weighted mean of the three parts, taken before there are any edges.
    """

    @staticmethod
    def forward(
        ctx: Any,
        of_target: Tensor,
        of_source: Tensor,
        of_edge: Tensor,
        scale: Tensor,
        shift: Tensor,
        source: Tensor,
        target: Tensor,
        edge_row: Tensor,
        edge_weight: Tensor,
        mean: Tensor | None,
        variance: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        edges, width = len(source), of_target.shape[1] // 2
        share = edge_weight / edge_weight.sum()
        ctx.use_batch = mean is None or variance is None
        if mean is None or variance is None:
            mean = torch.zeros_like(shift)
            for part, rows in ((of_target, target), (of_source, source), (of_edge, edge_row)):
                mean += share.new_zeros(len(part)).index_add_(0, rows, share) @ part
            variance = torch.zeros_like(mean)
        else:
            mean, variance = mean.clone(), variance.clone()
        centred_target = of_target - mean
        centred = of_target.new_empty(edges, 2 * width)
        blocks = _blocks(edges, of_target.device)
        # One scratch for all blocks: fresh memory for each costs more than the arithmetic.
        scratch = of_target.new_empty(blocks[0].stop if blocks else 0, 2 * width)
        for block in blocks:
            part = centred[block]
            work = scratch[: len(part)]
            torch.index_select(centred_target, 0, target[block], out=part)
            part += torch.index_select(of_source, 0, source[block], out=work)
            part += torch.index_select(of_edge, 0, edge_row[block], out=work)
            if ctx.use_batch:
                variance += share[block] @ torch.mul(part, part, out=work)
        inverse = torch.rsqrt(variance + _EPSILON)
        slope = scale * inverse
        gate, core = centred.new_empty(edges, width), centred.new_empty(edges, width)
        gathered = centred.new_zeros(len(of_target), width)
        message_scratch = gathered.new_empty(len(scratch), width)
        for block in blocks:
            block_gate, block_core = gate[block], core[block]
            scaled, message = scratch[: len(block_gate)], message_scratch[: len(block_gate)]
            torch.addcmul(shift, centred[block], slope, out=scaled)
            torch.sigmoid(scaled[:, :width], out=block_gate)
            block_core.copy_(functional.softplus(scaled[:, width:]))
            torch.mul(block_core, block_gate, out=message)
            message *= edge_weight[block, None]
            gathered.index_add_(0, target[block], message)
        ctx.save_for_backward(
            centred, gate, core, source, target, edge_row, edge_weight, share, scale, shift, inverse
        )
        ctx.rows = len(of_target), len(of_source), len(of_edge)
        ctx.mark_non_differentiable(mean, variance)
        return gathered, mean, variance

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        centred, gate, core, source, target, edge_row, edge_weight, share, scale, shift, inverse = (
            ctx.saved_tensors
        )
        edges, width = gate.shape
        blocks = _blocks(edges, centred.device)
        of_gathered = grads[0].contiguous()
        slope = scale * inverse
        of_scaled = torch.empty_like(centred)
        of_shift, of_scale = torch.zeros_like(scale), torch.zeros_like(scale)
        scratch = centred.new_empty(blocks[0].stop if blocks else 0, 2 * width)
        message_scratch = centred.new_empty(len(scratch), width)
        for block in blocks:
            part, block_gate = of_scaled[block], gate[block]
            work, of_message = scratch[: len(part)], message_scratch[: len(part)]
            torch.index_select(of_gathered, 0, target[block], out=of_message)
            of_message *= edge_weight[block, None]
            of_message *= block_gate
            # The derivative of softplus is the sigmoid.
            torch.addcmul(shift, centred[block], slope, out=work)
            torch.mul(of_message, work[:, width:].sigmoid_(), out=part[:, width:])
            of_message *= core[block]
            torch.mul(of_message, torch.sub(1, block_gate, out=work[:, :width]), out=part[:, :width])
            of_shift += part.sum(0)
            of_scale += torch.mul(part, centred[block], out=work).sum(0)
        of_scale *= inverse
        curvature = of_scale * inverse
        of_target, of_source, of_edge = (centred.new_zeros(rows, 2 * width) for rows in ctx.rows)
        for block in blocks:
            part = of_scaled[block]
            if ctx.use_batch:
                work = scratch[: len(part)]
                torch.addcmul(of_shift, centred[block], curvature, out=work)
                part -= work.mul_(share[block, None])
            part *= slope
            of_target.index_add_(0, target[block], part)
            of_source.index_add_(0, source[block], part)
            of_edge.index_add_(0, edge_row[block], part)
        return of_target, of_source, of_edge, of_scale, of_shift, None, None, None, None, None, None


def _blocks(edges: int, device: torch.device) -> list[slice]:
    """Return slices of the edges: blocks that fit into the caches of a CPU, one block elsewhere."""
    size = _EDGES_PER_BLOCK if device.type == "cpu" else max(edges, 1)
    return [slice(first, min(first + size, edges)) for first in range(0, edges, size)]
