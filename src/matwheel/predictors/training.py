"""The CGCNN predictor: a training loop that resumes to the same bits."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from matwheel.core.errors import InputError
from matwheel.core.files import atomic_path
from matwheel.core.progress import Log, Progress, log_to_stderr
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
    """One training run: everything that changes while it runs is in `state` or derived from the step."""

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
        self.validate_every = settings.validate_every_steps or self.batches_per_epoch
        self.optimiser = _optimiser(settings, network)
        with torch.random.fork_rng(devices=[]):
            self.average = CGCNN(settings.network).to(device)
        self.average.load_state_dict(network.state_dict())
        self.average.eval()
        self.step = 0
        self.curve: list[dict[str, float]] = []
        self.losses: list[float] = []
        self.best: dict[str, Any] = {"step": 0, "mae": float("inf"), "score": float("inf"), "weights": {}}

    def run(self, checkpoint: TrainingCheckpoint | None, log: Log, every_seconds: float) -> dict[str, Any]:
        """Train to the end of the budget or of the patience; leave the chosen weights in the network."""
        saved = checkpoint.load() if checkpoint is not None else None
        if saved is None:
            torch.manual_seed(derive_seed(self.seed, "cgcnn", "training"))
        else:
            self._restore(saved)
            log(f"resuming at step {self.step} of {self.steps}")
        progress = Progress("training step", self.steps, log, done=self.step)
        last_saved = time.monotonic()
        order_seed = derive_seed(self.seed, "cgcnn", "order")
        batches: list[NDArray[np.int64]] = []
        stopped = self._out_of_patience()
        while self.step < self.steps and not stopped:
            epoch, place = divmod(self.step, self.batches_per_epoch)
            if place == 0 or not batches:
                batches = batches_of_epoch(len(self.train), self.settings.batch_size, order_seed, epoch)
            self._optimise(batches[place])
            if self.step % self.validate_every == 0 or self.step == self.steps:
                self._validate()
                progress.report(
                    self.step,
                    loss=self.curve[-1]["training_loss"],
                    validation_mae=self.curve[-1].get("validation_mae", float("nan")),
                )
                stopped = self._out_of_patience()
            if checkpoint is not None and time.monotonic() - last_saved >= every_seconds:
                checkpoint.save(self._state())
                last_saved = time.monotonic()
        if stopped:
            log(f"stopped at step {self.step}: no better validation since step {self.best['step']}")
        choose_best = self.settings.checkpoint_choice == "best" and self.best["weights"]
        self.network.load_state_dict(self.best["weights"] if choose_best else self.average.state_dict())
        self.network.eval()
        return {
            "steps": self.step,
            "epochs": self.step / self.batches_per_epoch,
            "stopped_early": stopped,
            "chosen_step": self.best["step"] if choose_best else self.step,
            "best_step": self.best["step"],
            "best_validation_mae": self.best["mae"] if math.isfinite(self.best["mae"]) else None,
            "curve": self.curve,
            "settings": asdict(self.settings),
            "transform": asdict(self.transform),
            "training_rows": len(self.train),
            "validation_rows": len(self.validation),
            "parameters": sum(parameter.numel() for parameter in self.network.parameters()),
            "seed": self.seed,
        }

    def _optimise(self, rows: NDArray[np.int64]) -> None:
        """One optimiser step on the training rows `rows`."""
        settings = self.settings
        rate = settings.learning_rate * learning_rate_share(settings, self.step, self.steps)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        graphs = graph_tensors(self.train, rows, self.device)
        if settings.distance_noise_angstrom:
            # The same noise on equal distances: symmetry stays, and with it the speed it brings.
            distinct, row = torch.unique(graphs.distance, return_inverse=True)
            noise = torch.randn(distinct.shape) * settings.distance_noise_angstrom
            graphs = replace(graphs, distance=(distinct + noise.to(self.device))[row])
        self.network.train()
        output = self.network(graphs)
        chosen = torch.from_numpy(rows)
        loss = self._loss(output, chosen)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise FloatingPointError(
                f"loss is {value} at step {self.step + 1} of {self.steps}: lower learning_rate "
                f"({settings.learning_rate:g}) or set largest_gradient_norm"
            )
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if settings.largest_gradient_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), settings.largest_gradient_norm)
        self.optimiser.step()
        self.step += 1
        self.losses.append(value)
        # Early steps weigh less than the decay says, or the random start would stay in the average.
        decay = min(settings.average_decay, self.step / (self.step + 10.0)) if settings.average_decay else 0.0
        with torch.no_grad():
            for mine, theirs in zip(_floats(self.average), _floats(self.network), strict=True):
                mine.lerp_(theirs, 1.0 - decay)

    def _loss(self, output: Tensor, rows: Tensor) -> Tensor:
        if self.settings.loss == "back_transformed_l1":
            labels = self.labels[rows].to(self.device)
            return (self.transform.restore(output) - labels).abs().mean() / self.label_deviation
        standardised = self.standardised[rows].to(self.device)
        measure = functional.l1_loss if self.settings.loss == "l1" else functional.mse_loss
        return measure(output, standardised)

    def _validate(self) -> None:
        point = {"step": self.step, "training_loss": float(np.mean(self.losses))}
        self.losses = []
        if len(self.validation):
            predicted = _predict(self.average, self.transform, self.validation, self.device)
            mae = float(np.abs(predicted - self.validation_labels).mean())
            if not math.isfinite(mae):
                raise FloatingPointError(
                    f"validation error is {mae} at step {self.step} of {self.steps}: lower learning_rate "
                    f"({self.settings.learning_rate:g})"
                )
            point["validation_mae"] = mae
        self.curve.append(point)
        if len(self.validation):
            window = self.curve[-self.settings.validation_window :]
            score = float(np.mean([earlier["validation_mae"] for earlier in window]))
            if score < self.best["score"]:
                weights = {name: value.clone() for name, value in self.average.state_dict().items()}
                self.best = {
                    "step": self.step,
                    "mae": point["validation_mae"],
                    "score": score,
                    "weights": weights,
                }

    def _out_of_patience(self) -> bool:
        patience = self.settings.patience
        if patience is None or not self.best["weights"]:
            return False
        return sum(point["step"] > self.best["step"] for point in self.curve) >= patience

    def _state(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "random": torch.get_rng_state(),
            "curve": self.curve,
            "losses": self.losses,
            "best": self.best,
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self.step, self.curve = state["step"], state["curve"]
        self.losses, self.best = state["losses"], state["best"]
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        torch.set_rng_state(state["random"])


def _optimiser(settings: TrainingSettings, network: CGCNN) -> torch.optim.Optimizer:
    parameters, rate, decay = network.parameters(), settings.learning_rate, settings.weight_decay
    if settings.optimiser == "sgd":
        return torch.optim.SGD(parameters, lr=rate, momentum=settings.momentum, weight_decay=decay)
    if settings.optimiser == "adam":
        return torch.optim.Adam(parameters, lr=rate, weight_decay=decay, fused=True)
    return torch.optim.AdamW(parameters, lr=rate, weight_decay=decay, fused=True)


def _floats(network: CGCNN) -> list[Tensor]:
    """Return all weights and running statistics, not the counters."""
    return [value for value in network.state_dict().values() if value.is_floating_point()]


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
