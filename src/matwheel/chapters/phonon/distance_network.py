"""A graph network that sees distances finely: small displacements of the atoms of one compound.

Continuous-filter convolutions (Schütt et al., SchNet, J. Chem. Phys. 148, 241722, 2018): the message from a
neighbour is its features times a smooth function of its distance, learned separately for every feature. The
project's CGCNN keeps twelve neighbours; here every pair of atoms within the cutoff is an edge and fades out
smoothly at the cutoff, so that predictions have derivatives with respect to each distance. One network learns
several targets at once.

What is special about few displaced configurations of one compound shapes three choices, found on trial sets
of 48 thermal and 24 uniform configurations of Ag3SBr with energies and stresses of a potential:

- They differ little from one another, and what they have in common carries no information. Messages and
  pooled features are centred and scaled by the training rows in the network as it starts (data-dependent
  initialisation, Salimans & Kingma, arXiv 1602.07868, section 3); these numbers stay fixed.
- Smooth functions of the distance need few examples. The Gaussians of the radial basis are wide; a shift of
  0.1 Å is seen by their slopes, which sharper ones would not see better with so few labels.
- The network starts as a sum of pair functions: later rounds of messages and the nonlinear parts start
  silent, and the last layer starts at the ridge regression on the pooled features. Gradient steps add what
  pairs do not hold, as long as the validation error falls.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from matwheel.chapters.phonon.distance_network_settings import DistanceNetworkSettings
from matwheel.core.errors import InputError
from matwheel.core.files import atomic_path
from matwheel.core.progress import Log, unheard
from matwheel.core.seeds import derive_seed
from matwheel.crystals.crystal import Crystal
from matwheel.crystals.neighbours import numbers_of_elements, pairs_within, refuse_without_cell
from matwheel.predictors.interface import fitted
from matwheel.training.checkpoints import TrainingCheckpoint
from matwheel.training.training_loop import Course, Descent, Figures, RunningAverage, TrainingLoop, mean_loss

_LARGEST_ATOMIC_NUMBER = 118
# A deviation below this is rounding: a crystal at rest has equal messages on equivalent atoms.
_SMALLEST_DEVIATION = 1e-5
_PREDICTION_CRYSTALS = 64
_RIDGE_STRENGTHS = tuple(10.0 ** (power / 4) for power in range(-12, 17))


@dataclass(frozen=True, eq=False)
class EdgeBatch:
    """Atoms and edges of some crystals, one crystal after the other.

    Attributes:
        atomic_numbers: shape (atoms,).
        source, target: atoms of each edge, numbered through all crystals, shape (edges,); messages flow from
            source to target. Sorted by target, then by distance. Each pair of atoms is two edges, one in
            either direction, and each periodic image is an edge of its own.
        distance: shape (edges,), Å.
        crystal: crystal of each atom, ascending, shape (atoms,).
    """

    atomic_numbers: Tensor
    source: Tensor
    target: Tensor
    distance: Tensor
    crystal: Tensor
    n: int


def edges_of(crystals: Sequence[Crystal], cutoff_angstrom: float = 5.5) -> EdgeBatch:
    """Return all pairs of atoms within a cutoff, all periodic images included.

    Raises:
        InputError: a crystal without atoms or volume, with an unknown element or with positions that are not
            finite.
    """
    numbers = numbers_of_elements(crystals)
    return joined_edges([_edges(crystal, numbers, cutoff_angstrom) for crystal in crystals])


def _edges(crystal: Crystal, numbers: Mapping[str, int], cutoff_angstrom: float) -> EdgeBatch:
    refuse_without_cell(crystal)
    pairs = pairs_within(crystal, cutoff_angstrom)
    pairs = pairs.take(np.lexsort((pairs.source, pairs.distance, pairs.target)))
    return EdgeBatch(
        atomic_numbers=torch.tensor([numbers[symbol] for symbol in crystal.species]),
        source=torch.from_numpy(pairs.source.astype(np.int64)),
        target=torch.from_numpy(pairs.target.astype(np.int64)),
        distance=torch.from_numpy(pairs.distance).to(torch.get_default_dtype()),
        crystal=torch.zeros(len(crystal.species), dtype=torch.int64),
        n=1,
    )


def joined_edges(parts: Sequence[EdgeBatch]) -> EdgeBatch:
    """Return some single crystals as one batch."""
    counts = [len(part.atomic_numbers) for part in parts]
    first = [sum(counts[:place]) for place in range(len(parts))]
    integers = torch.zeros(0, dtype=torch.int64)
    return EdgeBatch(
        atomic_numbers=torch.cat([integers, *(part.atomic_numbers for part in parts)]),
        source=torch.cat([integers, *(one.source + by for one, by in zip(parts, first, strict=True))]),
        target=torch.cat([integers, *(one.target + by for one, by in zip(parts, first, strict=True))]),
        distance=torch.cat([torch.zeros(0), *(part.distance for part in parts)]),
        crystal=torch.repeat_interleave(torch.arange(len(parts)), torch.tensor(counts, dtype=torch.int64)),
        n=len(parts),
    )


@lru_cache(maxsize=1)
def _element_properties() -> NDArray[np.float32]:
    """Return electronegativity, log mass and covalent radius of the elements, standardised, shape (119, 3).

    What is not known is 0, the mean of the elements.
    """
    from pymatgen.analysis.molecule_structure_comparator import CovalentRadius
    from pymatgen.core import Element

    values = np.full((_LARGEST_ATOMIC_NUMBER + 1, 3), np.nan)
    for number in range(1, _LARGEST_ATOMIC_NUMBER + 1):
        element = Element.from_Z(number)
        electronegativity = element.data.get("X")
        known = isinstance(electronegativity, int | float)
        values[number] = (
            electronegativity if known else np.nan,
            math.log(float(element.atomic_mass)),
            CovalentRadius.radius.get(element.symbol, np.nan),
        )
    standardised = (values - np.nanmean(values, axis=0)) / np.nanstd(values, axis=0)
    table = np.nan_to_num(standardised, nan=0.0).astype(np.float32)
    table.setflags(write=False)
    return table


class RadialBasis(nn.Module):
    """Gaussians of the distance, times a function that fades from 1 to 0 before the cutoff."""

    centres: Tensor

    def __init__(self, settings: DistanceNetworkSettings) -> None:
        super().__init__()
        self.step = settings.basis_step_angstrom
        self.cutoff = settings.cutoff_angstrom
        self.fading = settings.fading_angstrom
        centres = torch.arange(settings.smallest_distance_angstrom, self.cutoff, self.step)
        self.register_buffer("centres", centres)

    @property
    def width(self) -> int:
        """Number of Gaussians."""
        return len(self.centres)

    def forward(self, distance: Tensor) -> Tensor:
        """Return the basis functions, shape (edges, width); `distance` has shape (edges,), Å."""
        # Quintic step: value, slope and curvature are continuous at both ends.
        place = ((self.cutoff - distance) / self.fading).clamp(0.0, 1.0)
        fade = place**3 * (10 - 15 * place + 6 * place**2)
        gaussians = torch.exp(-0.5 * ((distance[:, None] - self.centres) / self.step) ** 2)
        return gaussians * fade[:, None]


class FixedScale(nn.Module):
    """(values − mean of each feature) / deviation, by groups of rows; set once from training rows.

    The deviation is one number for all features of a group: scaled one by one, features that hardly vary, and
    so hold mostly noise, would count as much as the others.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, groups: int, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(groups, width))
        self.register_buffer("deviation", torch.ones(groups, 1))

    @torch.no_grad()
    def set_from(self, values: Tensor, group: Tensor) -> None:
        """Take mean and deviation from values (rows, width) whose groups are `group` (rows,).

        A group without spread keeps the deviation 1, one without rows the mean 0 as well.
        """
        for which in group.unique().tolist():
            rows = values[group == which]
            self.mean[which] = rows.mean(dim=0)
            deviation = float((rows - self.mean[which]).square().mean().sqrt())
            if deviation > _SMALLEST_DEVIATION:
                self.deviation[which] = deviation

    def forward(self, values: Tensor, group: Tensor) -> Tensor:
        """Return scaled values (rows, width)."""
        return (values - self.mean[group]) / self.deviation[group]


class DistanceConvolution(nn.Module):
    """One round of messages: x_i + s z_i + MLP(z_i, x_i) with z_i = scaled Σ_j w_ij F(d_ij) ∘ A x_j.

    F is a linear combination of the radial basis. The MLP starts at zero, and the learned share s at
    `first_share`.
    """

    def __init__(self, basis_width: int, width: int, first_share: float) -> None:
        super().__init__()
        self.filter = nn.Linear(basis_width, width, bias=False)
        self.of_source = nn.Linear(width, width, bias=False)
        nn.init.normal_(self.filter.weight, std=basis_width**-0.5)
        nn.init.normal_(self.of_source.weight, std=width**-0.5)
        self.scale = FixedScale(_LARGEST_ATOMIC_NUMBER + 1, width)
        self.share = nn.Parameter(torch.tensor(first_share))
        first, last = nn.Linear(2 * width, width), nn.Linear(width, width)
        self.update = nn.Sequential(first, nn.SiLU(), last)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def messages(self, nodes: Tensor, batch: EdgeBatch, basis: Tensor, edge_weight: Tensor | None) -> Tensor:
        """Return the sum of the messages to each atom, shape (atoms, width)."""
        message = self.filter(basis) * self.of_source(nodes).index_select(0, batch.source)
        if edge_weight is not None:
            message = message * edge_weight[:, None]
        return nodes.new_zeros(nodes.shape).index_add(0, batch.target, message)

    def forward(self, nodes: Tensor, batch: EdgeBatch, basis: Tensor, edge_weight: Tensor | None) -> Tensor:
        """Return new features of the atoms, shape (atoms, width)."""
        received = self.scale(self.messages(nodes, batch, basis, edge_weight), batch.atomic_numbers)
        return nodes + self.share * received + self.update(torch.cat([received, nodes], dim=1))


class FilterNetwork(nn.Module):
    """Embedding of the elements → rounds of messages → mean over atoms → targets, standardised."""

    properties: Tensor

    def __init__(self, settings: DistanceNetworkSettings, targets: int) -> None:
        super().__init__()
        width = settings.width
        self.settings = settings
        self.basis = RadialBasis(settings)
        self.embedding = nn.Embedding(_LARGEST_ATOMIC_NUMBER + 1, width)
        if settings.element_properties:
            # Kept with the weights: a saved model does not change when the elemental data do.
            self.register_buffer("properties", torch.from_numpy(_element_properties().copy()))
            self.of_properties = nn.Linear(self.properties.shape[1], width, bias=False)
        self.convolutions = nn.ModuleList(
            DistanceConvolution(self.basis.width, width, first_share=0.0 if later else 1.0)
            for later in range(settings.convolutions)
        )
        self.pooled_scale = FixedScale(1, width)
        self.output = nn.Linear(width, targets)

    def _elements(self, batch: EdgeBatch) -> Tensor:
        """Return the features of the atoms before any message, shape (atoms, width)."""
        nodes = self.embedding(batch.atomic_numbers)
        if self.settings.element_properties:
            nodes = nodes + self.of_properties(self.properties[batch.atomic_numbers])
        return nodes

    def _pooled(self, nodes: Tensor, batch: EdgeBatch) -> Tensor:
        """Return the mean over the atoms of each crystal, shape (n, width)."""
        atoms = torch.bincount(batch.crystal, minlength=batch.n)
        return nodes.new_zeros(batch.n, nodes.shape[1]).index_add(0, batch.crystal, nodes) / atoms[:, None]

    @torch.no_grad()
    def start_from(self, batch: EdgeBatch, labels: NDArray[np.float64]) -> None:
        """Fix the scales by the crystals of `batch` and set the last layer to the ridge regression on them.

        The strength of the ridge is the one with the smallest leave-one-out error, for each target.

        Args:
            labels: standardised, NaN where not known, shape (n, targets).
        """
        from sklearn.linear_model import RidgeCV

        nodes, basis = self._elements(batch), self.basis(batch.distance)
        for convolution in self.convolutions:
            assert isinstance(convolution, DistanceConvolution)  # a ModuleList names no type
            received = convolution.messages(nodes, batch, basis, None)
            convolution.scale.set_from(received, batch.atomic_numbers)
            nodes = convolution(nodes, batch, basis, None)
        one_group = torch.zeros(batch.n, dtype=torch.int64)
        pooled = self._pooled(nodes, batch)
        self.pooled_scale.set_from(pooled, one_group)
        features = self.pooled_scale(pooled, one_group).double().numpy()
        for target, values in enumerate(labels.T):
            known = np.isfinite(values)
            ridge = RidgeCV(alphas=_RIDGE_STRENGTHS).fit(features[known], values[known])
            self.output.weight[target] = torch.from_numpy(ridge.coef_)
            self.output.bias[target] = float(ridge.intercept_)

    def forward(self, batch: EdgeBatch, edge_weight: Tensor | None = None) -> Tensor:
        """Return the standardised targets, shape (n, targets).

        `edge_weight` (edges,) multiplies every message of an edge.
        """
        nodes, basis = self._elements(batch), self.basis(batch.distance)
        for convolution in self.convolutions:
            nodes = convolution(nodes, batch, basis, edge_weight)
        one_group = torch.zeros(batch.n, dtype=torch.int64, device=nodes.device)
        return self.output(self.pooled_scale(self._pooled(nodes, batch), one_group))


class DistanceNetwork:
    """Several properties of displaced crystals from their interatomic distances.

    Args:
        settings: see `DistanceNetworkSettings`.
        target_names: names of the targets, for messages and for whoever reads a saved model; None: numbers.
    """

    name = "distance_network"

    def __init__(
        self, settings: DistanceNetworkSettings | None = None, *, target_names: Sequence[str] | None = None
    ) -> None:
        self.settings = settings or DistanceNetworkSettings()
        self.target_names = tuple(target_names) if target_names is not None else None
        self.network: FilterNetwork | None = None
        self.target_mean: Tensor | None = None
        self.target_deviation: Tensor | None = None
        self._elements: frozenset[int] = frozenset()

    def fit(
        self,
        train_crystals: Sequence[Crystal],
        train_targets: NDArray[np.float64],
        validation_crystals: Sequence[Crystal],
        validation_targets: NDArray[np.float64],
        *,
        seed: int,
        checkpoint: TrainingCheckpoint | None = None,
        log: Log = unheard,
    ) -> dict[str, Any]:
        """Train; the state of the smallest validation error is kept.

        Targets are standardised by mean and deviation of the training rows. The validation error is the mean
        over the targets of the mean absolute error in deviations; without validation rows the last state is
        kept. A label that is not known is NaN and counts neither in training nor in validation. The
        same arguments give the same model, bit by bit, on one machine with one thread.

        Args:
            train_targets, validation_targets: shape (rows, targets), in the units of the labels.
            checkpoint: makes the training resumable.
            log: gets a line every few seconds.

        Returns:
            Report that JSON can hold: curve, chosen step, validation errors, parameters, settings.

        Raises:
            InputError: fewer than two training rows, a target without two known training labels, shapes that
                do not fit, labels that are infinite, or a validation element that training does not hold.
            FloatingPointError: the training diverged.
        """
        train_labels = checked_labels(train_crystals, train_targets, "training rows")
        validation_labels = checked_labels(validation_crystals, validation_targets, "validation rows")
        if len(validation_crystals) == 0:
            validation_labels = np.zeros((0, train_labels.shape[1]))
        self._check_targets(train_labels, validation_labels)
        self._elements = frozenset(numbers_of_elements(train_crystals).values())
        mean, deviation = _scales(train_labels)
        self.target_mean, self.target_deviation = torch.from_numpy(mean), torch.from_numpy(deviation)

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, self.name, "parameters"))
            self.network = FilterNetwork(self.settings, train_labels.shape[1])
        report = _train(
            self.network,
            [self.batch_of([crystal]) for crystal in train_crystals],
            (train_labels - mean) / deviation,
            self.batch_of(validation_crystals),
            (validation_labels - mean) / deviation,
            derive_seed(seed, self.name, "order"),
            checkpoint,
            log,
        )
        return report | {
            "training_rows": len(train_crystals),
            "validation_rows": len(validation_crystals),
            "target_names": list(self._names(train_labels.shape[1])),
            "target_mean": mean.tolist(),
            "target_deviation": deviation.tolist(),
            "settings": asdict(self.settings),
            "seed": seed,
        }

    def batch_of(self, crystals: Sequence[Crystal]) -> EdgeBatch:
        """Return the edges of crystals within the cutoff of this network.

        Raises:
            InputError: as `edges_of`, or an element that the training rows do not hold.
        """
        numbers = numbers_of_elements(crystals)
        foreign = {symbol for symbol, number in numbers.items() if number not in self._elements}
        if foreign and self._elements:
            owner = next(crystal for crystal in crystals if foreign & set(crystal.species))
            unknown = ", ".join(sorted(foreign & set(owner.species)))
            raise InputError(
                f"crystal {owner.id}: no training row holds {unknown}; train on crystals of these elements "
                "as well"
            )
        return edges_of(crystals, self.settings.cutoff_angstrom)

    def forward(self, batch: EdgeBatch, edge_weight: Tensor | None = None) -> Tensor:
        """Return predictions in the units of the labels, shape (n, targets), with their derivatives.

        Differentiable with respect to `batch.distance` and `edge_weight`.

        Args:
            edge_weight: multiplies every message of an edge, in all rounds, shape (edges,); None: all 1.

        Raises:
            RuntimeError: the network was neither fitted nor loaded.
        """
        standardised = fitted(self.network)(batch, edge_weight)
        deviation, mean = fitted(self.target_deviation), fitted(self.target_mean)
        return standardised * deviation.to(standardised.dtype) + mean.to(standardised.dtype)

    def predict(self, crystals: Sequence[Crystal]) -> NDArray[np.float64]:
        """Return predictions, shape (n, targets), in the units of the labels.

        Raises:
            InputError: as `batch_of`.
            RuntimeError: the network was neither fitted nor loaded.
        """
        network = fitted(self.network)
        mean, deviation = fitted(self.target_mean).numpy(), fitted(self.target_deviation).numpy()
        parts = [np.zeros((0, len(mean)))]
        with torch.no_grad():
            for first in range(0, len(crystals), _PREDICTION_CRYSTALS):
                batch = self.batch_of(crystals[first : first + _PREDICTION_CRYSTALS])
                # The mean is added in double precision: total energies are large beside what they differ by.
                parts.append(network(batch).double().numpy() * deviation + mean)
        return np.concatenate(parts)

    def save(self, path: str | Path) -> None:
        """Write weights, scales and settings to one file, the same bytes for the same model."""
        network = fitted(self.network)
        # A file path would put its (temporary) name into the archive, so the bytes are made in memory.
        content = io.BytesIO()
        torch.save(
            {
                "predictor": self.name,
                "settings": asdict(self.settings),
                "target_names": list(self._names(len(fitted(self.target_mean)))),
                "target_mean": fitted(self.target_mean),
                "target_deviation": fitted(self.target_deviation),
                "elements": sorted(self._elements),
                "weights": dict(network.state_dict()),
            },
            content,
        )
        with atomic_path(path) as temporary:
            temporary.write_bytes(content.getvalue())

    @classmethod
    def load(cls, path: str | Path) -> DistanceNetwork:
        """Read a model written by `save`.

        Raises:
            InputError: the file holds another kind of model.
        """
        saved = torch.load(path, weights_only=True)
        if not isinstance(saved, dict) or saved.get("predictor") != cls.name:
            raise InputError(f"{path}: not a model of {cls.name}; give a file written by its save")
        predictor = cls(DistanceNetworkSettings(**saved["settings"]), target_names=saved["target_names"])
        predictor.target_mean, predictor.target_deviation = saved["target_mean"], saved["target_deviation"]
        predictor._elements = frozenset(saved["elements"])
        with torch.random.fork_rng(devices=[]):
            predictor.network = FilterNetwork(predictor.settings, len(predictor.target_mean))
        predictor.network.load_state_dict(saved["weights"])
        predictor.network.eval()
        return predictor

    def _names(self, targets: int) -> tuple[str, ...]:
        return self.target_names or tuple(f"target {place}" for place in range(targets))

    def _check_targets(
        self, train_labels: NDArray[np.float64], validation_labels: NDArray[np.float64]
    ) -> None:
        if len(train_labels) < 2:
            raise InputError(
                f"{len(train_labels)} training rows, at least 2 are needed; enlarge the training part"
            )
        targets = train_labels.shape[1]
        if validation_labels.shape[1] != targets:
            raise InputError(
                f"{targets} targets in training rows, {validation_labels.shape[1]} in validation"
            )
        if self.target_names is not None and len(self.target_names) != targets:
            raise InputError(f"{targets} targets, but {len(self.target_names)} names of targets")
        refuse_unlabelled(train_labels, self._names(targets), 2)


def checked_labels(
    crystals: Sequence[Crystal], targets: NDArray[np.float64], what: str
) -> NDArray[np.float64]:
    """Return labels as an array of shape (crystals, targets), NaN where not known.

    Raises:
        InputError: another shape, or an infinite label.
    """
    labels = np.asarray(targets, dtype=np.float64)
    if len(crystals) == 0 and labels.size == 0:
        return labels.reshape(0, labels.shape[1] if labels.ndim == 2 else 0)
    if labels.ndim != 2 or len(labels) != len(crystals) or not labels.shape[1]:
        raise InputError(
            f"{what}: {len(crystals)} crystals but labels of shape {labels.shape}; give one row per crystal "
            "and one column per target"
        )
    wrong = np.flatnonzero(np.isinf(labels).any(axis=1))
    if len(wrong):
        raise InputError(
            f"{what}: crystal {crystals[wrong[0]].id} has an infinite label; give a number, or NaN where it "
            "is not known"
        )
    return labels


def _scales(labels: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and deviation of each target."""
    mean, deviation = np.nanmean(labels, axis=0), np.nanstd(labels, axis=0)
    # Labels that are all the same leave nothing to scale.
    return mean, np.where(deviation > 1e-12 * np.maximum(np.abs(mean), 1.0), deviation, 1.0)


def refuse_unlabelled(labels: NDArray[np.float64], names: Sequence[str], smallest: int) -> None:
    """Refuse training rows with a target that too few of them know.

    Raises:
        InputError: the target, by its name.
    """
    for name, known in zip(names, np.isfinite(labels).sum(axis=0), strict=True):
        if known < smallest:
            raise InputError(
                f"{name}: {known} known labels among {len(labels)} training rows, at least {smallest} are "
                "needed; leave this target out or label more rows"
            )


def _train(
    network: FilterNetwork,
    train: Sequence[EdgeBatch],
    train_labels: NDArray[np.float64],
    validation: EdgeBatch,
    validation_labels: NDArray[np.float64],
    seed: int,
    checkpoint: TrainingCheckpoint | None,
    log: Log,
) -> dict[str, Any]:
    """Train on standardised labels; leave the chosen state in the network and return the report."""
    settings = network.settings
    labels = torch.from_numpy(train_labels).float()
    network.start_from(joined_edges(train), train_labels)
    batches = list(islice(_shuffled_batches(len(train), settings.batch_size, seed), settings.steps))
    descent = _descent(network)

    def take_step(step: int) -> Figures:
        batch = joined_edges([train[row] for row in batches[step]])
        wanted = labels[torch.from_numpy(batches[step])]
        return {"loss": descent.follow(_masked_loss(network(batch), wanted, settings.loss))}

    def look(judged: FilterNetwork, since: list[Figures]) -> dict[str, float | None]:
        entry: dict[str, float | None] = {"training_loss": mean_loss(since)} if since else {}
        return entry | {"validation_error": _error_of(judged, validation, validation_labels)}

    training = TrainingLoop(
        network,
        {"network": descent},
        take_step,
        look,
        name="distance network",
        steps=settings.steps,
        look_every=settings.validate_every_steps,
        from_start=True,
        score=lambda curve: curve[-1]["validation_error"],
        average=RunningAverage(network, settings.average_decay),
        remedy=f"lower learning_rate ({settings.learning_rate:g})",
    )
    return _report(training.run(checkpoint, log), network)


def _report(course: Course, network: FilterNetwork) -> dict[str, Any]:
    return {
        "steps": course.step,
        "chosen_step": course.kept_step,
        "start_validation_error": course.curve[0]["validation_error"],
        "best_validation_error": course.best if math.isfinite(course.best) else None,
        "curve": course.curve,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
    }


def _descent(network: FilterNetwork) -> Descent:
    settings = network.settings
    rate, decay = settings.learning_rate, settings.weight_decay
    return Descent(
        network,
        torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=decay),
        lambda step: rate * _rate_share(step + 1, settings.steps),
        settings.largest_gradient_norm,
    )


def _shuffled_batches(rows: int, batch_size: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Yield rows batch by batch without end, each epoch in a new order."""
    order = np.random.default_rng(seed)
    while True:
        yield from np.array_split(order.permutation(rows), math.ceil(rows / batch_size))


def _error_of(network: FilterNetwork, crystals: EdgeBatch, labels: NDArray[np.float64]) -> float | None:
    """Return the mean error of a network; None where no label is known."""
    if not np.isfinite(labels).any():
        return None
    return _mean_error(network(crystals).double().numpy(), labels)


def _rate_share(step: int, steps: int) -> float:
    """Return the learning rate of `step` (from 1) as a share of the full one: rise over a tenth, cosine."""
    done = step / steps
    return min(1.0, 10 * done) * 0.5 * (1 + math.cos(math.pi * done))


def _masked_loss(output: Tensor, labels: Tensor, loss: str) -> Tensor:
    """Return the mean loss over the labels that are known; zero where there are none."""
    known = torch.isfinite(labels)
    difference = output[known] - labels[known]
    if loss == "mse":
        each = difference**2
    elif loss == "l1":
        each = difference.abs()
    else:
        each = functional.huber_loss(difference, torch.zeros_like(difference), reduction="none")
    return each.sum() / max(int(known.sum()), 1)


def _mean_error(predicted: NDArray[np.float64], labels: NDArray[np.float64]) -> float:
    """Return the mean over targets of the mean absolute error over known labels."""
    error = np.abs(predicted - labels)
    known = np.isfinite(labels)
    each = [
        error[known[:, target], target].mean() for target in range(labels.shape[1]) if known[:, target].any()
    ]
    return float(np.mean(each))
