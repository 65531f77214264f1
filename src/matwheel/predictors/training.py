"""The CGCNN predictor and its training, which resumes to the same bits."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from matwheel.core.errors import InputError
from matwheel.core.files import atomic_path
from matwheel.core.progress import Log, log_to_stderr
from matwheel.core.seeds import derive_seed
from matwheel.crystals.crystal import Crystal
from matwheel.crystals.graphs import (
    CrystalGraphs,
    GraphSettings,
    build_graphs,
    concatenate_graphs,
    load_graphs,
)
from matwheel.predictors.cgcnn import CGCNN
from matwheel.predictors.graph_convolutions import graph_tensors
from matwheel.predictors.interface import checked_rows, fitted
from matwheel.predictors.training_settings import (
    PRESETS,
    NetworkSettings,
    TrainingSettings,
    training_settings,
)
from matwheel.training.checkpoints import TrainingCheckpoint
from matwheel.training.devices import resolve_device
from matwheel.training.label_scale import signed_log
from matwheel.training.training_loop import Course, Descent, Figures, RunningAverage, TrainingLoop, mean_loss

_PREDICTION_BATCH = 256


@dataclass(frozen=True)
class TargetTransform:
    """Labels, on a logarithmic scale where asked for, standardised by mean and deviation in training."""

    logarithmic: bool
    mean: float
    deviation: float

    @classmethod
    def of_labels(cls, labels: NDArray[np.float64], logarithmic: bool) -> TargetTransform:
        """Return the transform of training labels."""
        values = signed_log(labels) if logarithmic else labels
        deviation = float(values.std())
        # Labels that are all the same leave nothing to scale.
        return cls(logarithmic, float(values.mean()), deviation if deviation > 1e-12 else 1.0)

    def standardise(self, labels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return labels as the network sees them."""
        return ((signed_log(labels) if self.logarithmic else labels) - self.mean) / self.deviation

    def restore(self, standardised: Tensor) -> Tensor:
        """Return outputs of the network in the units of the labels."""
        values = standardised * self.deviation + self.mean
        return values.sign() * values.abs().expm1() if self.logarithmic else values


class CGCNNPredictor:
    """CGCNN behind the interface of predictors.

    `graphs` are graphs built before (of the dataset, by id); those of other crystals are built on the
    spot by `graph_settings`, which must be those of `graphs`.
    """

    name = "cgcnn"

    def __init__(
        self,
        settings: TrainingSettings | None = None,
        graphs: CrystalGraphs | None = None,
        *,
        graph_settings: GraphSettings | None = None,
        device: torch.device | str = "cpu",
        checkpoint_every_seconds: float = 20.0,
    ) -> None:
        self.settings = settings or PRESETS["default"]
        self.graph_settings = graph_settings or GraphSettings()
        self.device = torch.device(device)
        self._graphs = graphs
        self._checkpoint_every_seconds = checkpoint_every_seconds
        self._network: CGCNN | None = None
        self._transform: TargetTransform | None = None

    @classmethod
    def from_settings(
        cls, settings: Mapping[str, Any], prepared: CrystalGraphs | None = None
    ) -> CGCNNPredictor:
        """Return an unfitted predictor: `settings["preset"]` ('default') with single values changed.

        `settings["device"]` ('auto') says where it is trained.

        Raises:
            InputError: unknown preset or setting, or a value that is not allowed.
        """
        changes = {name: value for name, value in settings.items() if name not in ("preset", "device")}
        device = resolve_device(settings.get("device", "auto"))
        return cls(training_settings(settings.get("preset", "default"), changes), prepared, device=device)

    @staticmethod
    def read_prepared(paths: Sequence[str | Path]) -> CrystalGraphs:
        """Read the neighbour graphs of some tables, one file each."""
        return concatenate_graphs([load_graphs(path) for path in paths])

    def graphs_of(self, crystals: Sequence[Crystal]) -> CrystalGraphs:
        """Return the graphs of `crystals`, in order, from the ones given or newly built.

        Raises:
            InputError: a given graph has other atoms than the crystal of its id.
        """
        known = self._graphs
        if known is None:
            return build_graphs(crystals, self.graph_settings)
        at_hand = set(known.ids)
        missing = [crystal for crystal in crystals if crystal.id not in at_hand]
        present = [crystal for crystal in crystals if crystal.id in at_hand]
        found = known.select([crystal.id for crystal in present])
        for crystal, atoms in zip(present, np.diff(found.atom_offsets), strict=True):
            if atoms != len(crystal.species):
                raise InputError(
                    f"crystal {crystal.id} has {len(crystal.species)} atoms, its graph {atoms}: two crystals "
                    "share an id or the graphs are of another dataset"
                )
        if not missing:
            return found
        return concatenate_graphs([found, build_graphs(missing, self.graph_settings)]).select(
            [crystal.id for crystal in crystals]
        )

    def fit(
        self,
        train: Sequence[Crystal],
        train_target: NDArray[np.float64],
        validation: Sequence[Crystal],
        validation_target: NDArray[np.float64],
        *,
        seed: int,
        checkpoint: TrainingCheckpoint | None = None,
        log: Log = log_to_stderr,
    ) -> dict[str, Any]:
        """Train; see `interface.Predictor.fit`. The report holds curve, best step, steps and settings."""
        train_labels, validation_labels = checked_rows(
            train, train_target, validation, validation_target, smallest=2
        )
        self._transform = TargetTransform.of_labels(train_labels, self.settings.target == "log1p")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "cgcnn", "parameters"))
            self._network = CGCNN(self.settings.network).to(self.device)
            training = _Training(
                self.settings,
                self._network,
                self._transform,
                self.graphs_of(train),
                train_labels,
                self.graphs_of(validation),
                validation_labels,
                seed,
                self.device,
            )
            return training.run(checkpoint, log, self._checkpoint_every_seconds)

    def predict(self, crystals: Sequence[Crystal]) -> NDArray[np.float64]:
        """Return one prediction per crystal, shape (n,).

        Raises:
            RuntimeError: the predictor was neither fitted nor loaded.
        """
        network, transform = fitted(self._network), fitted(self._transform)
        return _predict(network, transform, self.graphs_of(crystals), self.device)

    def save(self, path: str | Path) -> None:
        """Write weights, transform and settings to one file, the same bytes for the same model."""
        network, transform = fitted(self._network), fitted(self._transform)
        # A file path would put its (temporary) name into the archive, so the bytes are made in memory.
        content = io.BytesIO()
        torch.save(
            {
                "predictor": self.name,
                "settings": asdict(self.settings),
                "graph_settings": asdict(self.graph_settings),
                "transform": asdict(transform),
                "weights": {name: value.cpu() for name, value in network.state_dict().items()},
            },
            content,
        )
        with atomic_path(path) as temporary:
            temporary.write_bytes(content.getvalue())

    @classmethod
    def load(
        cls, path: str | Path, prepared: CrystalGraphs | None = None, *, device: torch.device | str = "cpu"
    ) -> CGCNNPredictor:
        """Read a model written by `save`; `prepared` are graphs, as for a new predictor."""
        saved = torch.load(path, weights_only=True, map_location="cpu")
        network = NetworkSettings(**saved["settings"].pop("network"))
        settings = TrainingSettings(network=network, **saved["settings"])
        predictor = cls(
            settings, prepared, graph_settings=GraphSettings(**saved["graph_settings"]), device=device
        )
        predictor._transform = TargetTransform(**saved["transform"])
        with torch.random.fork_rng(devices=[]):
            predictor._network = CGCNN(network).to(device)
        predictor._network.load_state_dict(saved["weights"])
        return predictor


def batches_of_epoch(rows: int, batch_size: int, seed: int, epoch: int) -> list[NDArray[np.int64]]:
    """Return the shuffled rows of one epoch, cut into batches of sizes that differ by at most 1.

    Depends on nothing but the arguments, so an interrupted training finds its place again. Equal
    sizes leave no last batch of a single row, which batch normalisation cannot use.
    """
    order = np.random.default_rng([seed, epoch]).permutation(rows)
    return np.array_split(order, math.ceil(rows / batch_size))


def learning_rate_share(settings: TrainingSettings, step: int, steps: int) -> float:
    """Return the learning rate of `step` (from 0) of `steps` as a share of the full one."""
    done = step / steps
    if settings.schedule == "step":
        return 1.0 if done < settings.step_share else 0.1
    if settings.schedule == "constant":
        return 1.0
    rising = 0.1 if settings.schedule == "one_cycle" else 0.0
    if done < rising:
        return (step + 1) / (rising * steps + 1)
    cosine = 0.5 * (1 + math.cos(math.pi * (done - rising) / (1 - rising)))
    return settings.final_rate_share + (1 - settings.final_rate_share) * cosine


class _Training:
    """One training run: what its steps are, what is noted of the network, and the report."""

    def __init__(
        self,
        settings: TrainingSettings,
        network: CGCNN,
        transform: TargetTransform,
        train: CrystalGraphs,
        train_labels: NDArray[np.float64],
        validation: CrystalGraphs,
        validation_labels: NDArray[np.float64],
        seed: int,
        device: torch.device,
    ) -> None:
        self.settings, self.network, self.transform, self.device = settings, network, transform, device
        self.train, self.validation, self.validation_labels = train, validation, validation_labels
        self.seed = seed
        self.standardised = torch.tensor(transform.standardise(train_labels), dtype=torch.float32)
        self.labels = torch.tensor(train_labels, dtype=torch.float32)
        self.label_deviation = float(train_labels.std()) or 1.0
        self.batches_per_epoch = math.ceil(len(train) / settings.batch_size)
        self.steps = settings.steps or (settings.epochs or 0) * self.batches_per_epoch
        self.descent = Descent(
            network,
            _optimiser(settings, network),
            lambda step: settings.learning_rate * learning_rate_share(settings, step, self.steps),
            settings.largest_gradient_norm,
        )
        order = derive_seed(seed, "cgcnn", "order")
        self.batches = lru_cache(maxsize=1)(partial(batches_of_epoch, len(train), settings.batch_size, order))

    def run(self, checkpoint: TrainingCheckpoint | None, log: Log, every_seconds: float) -> dict[str, Any]:
        """Train to the end of the budget or of the patience; leave the chosen weights in the network."""
        settings = self.settings
        look_every = settings.validate_every_steps or self.batches_per_epoch
        loop = TrainingLoop(
            self.network,
            {"network": self.descent},
            self._take_step,
            self._look,
            name="training",
            steps=self.steps,
            look_every=look_every,
            patience_steps=settings.patience * look_every if settings.patience else None,
            keep=settings.checkpoint_choice,
            score=self._score,
            average=RunningAverage(self.network, settings.average_decay, of_statistics=True),
            remedy=f"lower learning_rate ({settings.learning_rate:g}) or set largest_gradient_norm",
        )
        torch.manual_seed(derive_seed(self.seed, "cgcnn", "training"))
        return self._report(loop.run(checkpoint, log, every_seconds=every_seconds))

    def _report(self, course: Course) -> dict[str, Any]:
        errors = {entry["step"]: entry.get("validation_mae") for entry in course.curve}
        return {
            "steps": course.step,
            "epochs": course.step / self.batches_per_epoch,
            "stopped_early": course.step < self.steps,
            "chosen_step": course.kept_step,
            "best_step": course.best_step,
            "best_validation_mae": errors.get(course.best_step),
            "curve": course.curve,
            "settings": asdict(self.settings),
            "transform": asdict(self.transform),
            "training_rows": len(self.train),
            "validation_rows": len(self.validation),
            "parameters": sum(parameter.numel() for parameter in self.network.parameters()),
            "seed": self.seed,
        }

    def _take_step(self, step: int) -> Figures:
        """Follow the loss of a batch of training rows."""
        epoch, place = divmod(step, self.batches_per_epoch)
        rows = self.batches(epoch)[place]
        graphs = graph_tensors(self.train, rows, self.device)
        if self.settings.distance_noise_angstrom:
            # The same noise on equal distances: symmetry stays, and with it the speed it brings.
            distinct, row = torch.unique(graphs.distance, return_inverse=True)
            noise = torch.randn(distinct.shape) * self.settings.distance_noise_angstrom
            graphs = replace(graphs, distance=(distinct + noise.to(self.device))[row])
        return {"loss": self.descent.follow(self._loss(self.network(graphs), torch.from_numpy(rows)))}

    def _loss(self, output: Tensor, rows: Tensor) -> Tensor:
        if self.settings.loss == "back_transformed_l1":
            labels = self.labels[rows].to(self.device)
            return (self.transform.restore(output) - labels).abs().mean() / self.label_deviation
        standardised = self.standardised[rows].to(self.device)
        measure = functional.l1_loss if self.settings.loss == "l1" else functional.mse_loss
        return measure(output, standardised)

    def _look(self, judged: CGCNN, since: list[Figures]) -> dict[str, float]:
        entry = {"training_loss": mean_loss(since)}
        if len(self.validation):
            predicted = _predict(judged, self.transform, self.validation, self.device)
            entry["validation_mae"] = float(np.abs(predicted - self.validation_labels).mean())
            if not math.isfinite(entry["validation_mae"]):
                raise FloatingPointError(f"the validation error is {entry['validation_mae']}")
        return entry

    def _score(self, curve: Sequence[Mapping[str, float]]) -> float | None:
        """Return the mean error over the last validations."""
        if not len(self.validation):
            return None
        window = curve[-self.settings.validation_window :]
        return float(np.mean([entry["validation_mae"] for entry in window]))


def _optimiser(settings: TrainingSettings, network: CGCNN) -> torch.optim.Optimizer:
    parameters, rate, decay = network.parameters(), settings.learning_rate, settings.weight_decay
    if settings.optimiser == "sgd":
        return torch.optim.SGD(parameters, lr=rate, momentum=settings.momentum, weight_decay=decay)
    if settings.optimiser == "adam":
        return torch.optim.Adam(parameters, lr=rate, weight_decay=decay, fused=True)
    return torch.optim.AdamW(parameters, lr=rate, weight_decay=decay, fused=True)


@torch.no_grad()
def _predict(
    network: CGCNN, transform: TargetTransform, graphs: CrystalGraphs, device: torch.device
) -> NDArray[np.float64]:
    network.eval()
    parts = [
        transform.restore(network(graph_tensors(graphs, rows, device)).double()).cpu().numpy()
        for rows in np.split(np.arange(len(graphs)), range(_PREDICTION_BATCH, len(graphs), _PREDICTION_BATCH))
        if len(rows)
    ]
    return np.concatenate([np.zeros(0), *parts])
