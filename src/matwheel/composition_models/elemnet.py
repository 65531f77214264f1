"""ElemNet: a network of 17 dense layers from element fractions to the formation energy.

Jha et al., Sci. Rep. 8, 17593 (2018): 1024 × 4, 512 × 3, 256 × 3, 128 × 3, 64 × 2, 32, 1 with ReLU, dropout
after each of the first four blocks (keep probabilities 0.8, 0.9, 0.7, 0.8), mean absolute error as loss.
Dropout is off at prediction.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from matwheel.composition_models.elemnet_settings import PRESETS, ElemNetSettings
from matwheel.compositions.composition_features import ELEMNET_ELEMENTS, checked_targets, element_fractions
from matwheel.compositions.formulas import MATGAN_ELEMENTS
from matwheel.core.errors import InputError
from matwheel.core.files import atomic_path
from matwheel.core.progress import Log, log_to_stderr
from matwheel.core.seeds import derive_seed
from matwheel.training import random_draws
from matwheel.training.checkpoints import TrainingCheckpoint
from matwheel.training.devices import resolve_device
from matwheel.training.resumable_training import train_network

BLOCKS = ((1024, 4), (512, 3), (256, 3), (128, 3), (64, 2), (32, 1))
"""Width and number of layers of each block; a last layer of one number follows."""

_PREDICTION_ROWS = 4096


def elemnet_network(
    width_factor: float = 1.0, dropout: Sequence[float] = (0.2, 0.1, 0.3, 0.2)
) -> nn.Sequential:
    """Return the network: element fractions of shape (n, 86) to numbers of shape (n, 1)."""
    layers: list[nn.Module] = []
    before = len(ELEMNET_ELEMENTS)
    for block, (width, repeats) in enumerate(BLOCKS):
        for _ in range(repeats):
            after = max(1, round(width * width_factor))
            linear = nn.Linear(before, after)
            nn.init.kaiming_uniform_(linear.weight, nonlinearity="relu")
            nn.init.zeros_(linear.bias)
            layers += [linear, nn.ReLU()]
            before = after
        if block < len(dropout) and dropout[block]:
            layers.append(random_draws.Dropout(dropout[block]))
    return nn.Sequential(*layers, nn.Linear(before, 1))


class ElemNet:
    """Formation energy of compositions, in the unit of the labels it was fitted to (eV per atom)."""

    name = "elemnet"

    def __init__(
        self, settings: ElemNetSettings | None = None, *, device: torch.device | str = "cpu"
    ) -> None:
        self.settings = settings or PRESETS["laptop"]
        self.device = torch.device(device)
        self._network: nn.Sequential | None = None
        self._mean, self._deviation = 0.0, 1.0

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> ElemNet:
        """Return an unfitted model: `settings["preset"]` ('laptop') with single values changed.

        `settings["device"]` ('auto') says where it is trained.

        Raises:
            InputError: unknown preset or setting, or a value that is not allowed.
        """
        preset = settings.get("preset", "laptop")
        if preset not in PRESETS:
            raise InputError(f"unknown ElemNet preset {preset!r}; choose one of {', '.join(PRESETS)}")
        changes = {name: value for name, value in settings.items() if name not in ("preset", "device")}
        return cls(replace(PRESETS[preset], **changes), device=resolve_device(settings.get("device", "auto")))

    def fit(
        self,
        counts: NDArray[np.integer],
        target: NDArray[np.float64],
        *,
        validation_counts: NDArray[np.integer],
        validation_target: NDArray[np.float64],
        elements: Sequence[str] = MATGAN_ELEMENTS,
        seed: int,
        checkpoint: TrainingCheckpoint | None = None,
        log: Log = log_to_stderr,
    ) -> dict[str, Any]:
        """Train; the validation rows choose the state that is kept and end the training early.

        Args:
            counts: atoms of each element, shape (n, k).
            target: labels, shape (n,).
            validation_counts: compositions that choose the state, shape (m, k), m ≥ 1.
            validation_target: their labels.
            elements: the k symbols of the columns.
            seed: of parameters, batches and dropout.
            checkpoint: makes the training resumable.
            log: gets a line every few seconds.

        Returns:
            A report that JSON can hold: settings, rows, seed, steps, kept_step, best_score (mean absolute
            error of the validation rows), curve.

        Raises:
            InputError: wrong compositions or labels.
            FloatingPointError: the training diverged.
        """
        labels = checked_targets(counts, target, "training rows", smallest=2)
        wanted = checked_targets(validation_counts, validation_target, "validation rows")
        self._mean = float(labels.mean())
        self._deviation = max(float(labels.std()), 1e-12)
        inputs, validation_inputs = (self._inputs(part, elements) for part in (counts, validation_counts))
        standardised = torch.tensor((labels - self._mean) / self._deviation, dtype=torch.float32)
        standardised = standardised.to(self.device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "elemnet", "parameters"))
            network = elemnet_network(self.settings.width_factor, self.settings.dropout).to(self.device)
        self._network = network

        def loss_of_rows(rows: NDArray[np.int64]) -> Tensor:
            index = torch.from_numpy(rows).to(self.device)
            return (network(inputs[index]).squeeze(1) - standardised[index]).abs().mean()

        def validation_error(judged: nn.Sequential) -> float:
            return float(np.abs(self._predict(judged, validation_inputs) - wanted).mean())

        report = train_network(
            network,
            len(labels),
            loss_of_rows,
            validation_error,
            self.settings.plan(len(labels)),
            name="ElemNet",
            seed=derive_seed(seed, "elemnet", "training"),
            checkpoint=checkpoint,
            log=log,
        )
        return {
            "settings": asdict(self.settings),
            "training_rows": len(labels),
            "validation_rows": len(wanted),
            "seed": seed,
            **report,
        }

    def predict(
        self, counts: NDArray[np.integer], elements: Sequence[str] = MATGAN_ELEMENTS
    ) -> NDArray[np.float64]:
        """Return one prediction per composition, shape (n,).

        Raises:
            RuntimeError: the model was neither fitted nor loaded.
            InputError: wrong compositions.
        """
        if self._network is None:
            raise RuntimeError("fit or load the model first")
        predictions = [np.zeros(0)]
        # Fractions of a piece at a time: two million rows at once would take most of a gigabyte.
        for first in range(0, len(counts), 16 * _PREDICTION_ROWS):
            inputs = self._inputs(counts[first : first + 16 * _PREDICTION_ROWS], elements)
            predictions.append(self._predict(self._network, inputs))
        return np.concatenate(predictions)

    def save(self, path: str | Path) -> None:
        """Write weights, scale and settings to one file, the same bytes for the same model."""
        if self._network is None:
            raise RuntimeError("fit or load the model first")
        # A file path would put its (temporary) name into the archive, so the bytes are made in memory.
        content = io.BytesIO()
        torch.save(
            {
                "predictor": self.name,
                "settings": asdict(self.settings),
                "mean": self._mean,
                "deviation": self._deviation,
                "weights": {name: value.cpu() for name, value in self._network.state_dict().items()},
            },
            content,
        )
        with atomic_path(path) as temporary:
            temporary.write_bytes(content.getvalue())

    @classmethod
    def load(cls, path: str | Path, *, device: torch.device | str = "cpu") -> ElemNet:
        """Read a model written by `save`."""
        saved = torch.load(path, weights_only=True, map_location="cpu")
        model = cls(ElemNetSettings(**saved["settings"]), device=device)
        with torch.random.fork_rng(devices=[]):
            model._network = elemnet_network(model.settings.width_factor, model.settings.dropout).to(device)
        model._network.load_state_dict(saved["weights"])
        model._network.eval()
        model._mean, model._deviation = saved["mean"], saved["deviation"]
        return model

    def _inputs(self, counts: NDArray[np.integer], elements: Sequence[str]) -> Tensor:
        return torch.from_numpy(element_fractions(counts, elements)).to(self.device)

    @torch.no_grad()
    def _predict(self, network: nn.Sequential, inputs: Tensor) -> NDArray[np.float64]:
        network.eval()
        outputs = [network(piece).squeeze(1) for piece in inputs.split(_PREDICTION_ROWS)]
        return torch.cat(outputs).cpu().numpy().astype(np.float64) * self._deviation + self._mean
