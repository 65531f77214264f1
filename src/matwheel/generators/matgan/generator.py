"""MatGAN behind the interface of all generators of compositions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from matwheel.compositions.composition_keys import reduced_keys
from matwheel.core.errors import InputError
from matwheel.core.files import atomic_path
from matwheel.core.progress import Log, Progress, log_to_stderr
from matwheel.core.seeds import derive_seed
from matwheel.generators.matgan.networks import GeneratorNetwork, make_generator_network
from matwheel.generators.matgan.representation import MOST_ATOMS
from matwheel.generators.matgan.sampling_settings import MatGANSamplingSettings
from matwheel.generators.matgan.settings import MatGANSettings
from matwheel.generators.matgan.training import train
from matwheel.training import random_draws
from matwheel.training.checkpoints import TrainingCheckpoint
from matwheel.training.devices import loading_device, resolve_device

SAMPLING_BATCH = 8192


class MatGAN:
    """A Wasserstein GAN over compositions of at most 8 atoms of each element (Dan et al. 2020)."""

    name = "matgan"

    def __init__(self, settings: MatGANSettings | None = None) -> None:
        self.settings = settings or MatGANSettings()
        self.device = resolve_device(self.settings.device)
        self.elements: tuple[str, ...] = ()
        self._network: GeneratorNetwork | None = None
        self._known = torch.zeros(0, 0, dtype=torch.uint8)

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Return an unfitted generator: its defaults with single settings changed.

        Raises:
            InputError: unknown setting or a value out of range.
        """
        return cls(MatGANSettings(**settings))

    def fit(
        self,
        counts: NDArray[np.uint8],
        elements: Sequence[str],
        *,
        validation_counts: NDArray[np.uint8],
        seed: int,
        checkpoint: TrainingCheckpoint | None = None,
        log: Log = log_to_stderr,
    ) -> dict[str, Any]:
        """Learn from reduced compositions; the validation rows choose the state that is kept.

        Args:
            counts: training rows, shape (n, elements).
            elements: symbols of the columns.
            validation_counts: rows whose recovery is measured, shape (m, elements).
            seed: of weights, batches and noise.
            checkpoint: where the state is kept between interruptions.
            log: gets a line every few seconds.

        Returns:
            steps, kept_step, parameters of generator and critic, and the curve of recovery and uniqueness.

        Raises:
            InputError: no compositions, or an amount above 8 atoms, by its row.
            FloatingPointError: the loss is not finite; the message names the step.
        """
        for name, rows in {"training": counts, "validation": validation_counts}.items():
            if rows.ndim != 2 or rows.shape[1] != len(elements) or not len(rows):
                raise InputError(
                    f"{name} compositions have shape {rows.shape}, not (1 or more, {len(elements)} elements)"
                )
            unfit = np.flatnonzero((rows.max(axis=1) > MOST_ATOMS) | (rows.max(axis=1) == 0))
            if len(unfit):
                raise InputError(
                    f"{name} composition {unfit[0] + 1} is empty or has more than {MOST_ATOMS} atoms of an "
                    "element; leave it out"
                )
        self.elements = tuple(elements)
        self._known = torch.from_numpy(np.ascontiguousarray(counts, dtype=np.uint8))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "generator"))
            self._network = make_generator_network(len(elements), self.settings).to(self.device)
        sought = np.unique(reduced_keys(validation_counts, elements).keys, axis=0)

        def judge(network: GeneratorNetwork) -> tuple[float, float]:
            # With the defaults: which state is kept is no matter of how samples are drawn later.
            drawn = self._draw(
                network,
                self.settings.evaluation_samples,
                derive_seed(seed, "judge"),
                MatGANSamplingSettings(),
            )
            keys = np.unique(reduced_keys(drawn, elements).keys, axis=0)
            # Both are sets, so a key that is in both is a neighbour of itself in their union.
            both = len(keys) + len(sought) - len(np.unique(np.concatenate([keys, sought]), axis=0))
            return both / len(sought), len(keys) / len(drawn)

        report = train(self._network, counts, self.settings, judge, seed=seed, checkpoint=checkpoint, log=log)
        weights = sum(weight.numel() for weight in self._network.parameters())
        return {"settings": asdict(self.settings), "generator_parameters": weights, **report}

    def sample(
        self, n: int, *, seed: int, settings: Mapping[str, Any] | None = None, log: Log = log_to_stderr
    ) -> NDArray[np.uint8]:
        """Draw compositions, shape (n, elements): not reduced, and some may have one element or none.

        Args:
            n: how many.
            seed: of the draws.
            settings: single ones of `MatGANSamplingSettings` that differ from the defaults.
            log: receives progress.

        Raises:
            InputError: an unfitted generator, n below 0, or a wrong setting.
            FloatingPointError: the network's weights are not finite.
        """
        if self._network is None:
            raise InputError("generator matgan is not fitted; call fit first")
        if n < 0:
            raise InputError(f"{n} compositions asked for; give a number of at least 0")
        return self._draw(self._network, n, seed, MatGANSamplingSettings(**(settings or {})), log)

    @torch.no_grad()
    def _draw(
        self,
        network: GeneratorNetwork,
        n: int,
        seed: int,
        settings: MatGANSamplingSettings,
        log: Log | None = None,
    ) -> NDArray[np.uint8]:
        drawn = np.zeros((n, len(self.elements)), dtype=np.uint8)
        progress = Progress("composition", n, log) if log else None
        network.eval()
        # Draws of logits that are no numbers would look like compositions.
        if not all(torch.isfinite(values).all() for values in network.state_dict().values()):
            raise FloatingPointError(
                "MatGAN: the generator's weights are not finite; train again with a lower generator_rate"
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for start in range(0, n, SAMPLING_BATCH):
                size = min(SAMPLING_BATCH, n - start)
                chosen = random_draws.rows(len(self._known), size, device=self._known.device)
                rows = self._known[chosen].long().to(self.device)
                for _ in range(settings.refills if self.settings.network == "infill" else 1):
                    noise = random_draws.normal(size, self.settings.latent_width, device=self.device)
                    rows = network.compositions(noise, rows, settings.sampling_temperature)
                drawn[start : start + size] = rows.to(torch.uint8).cpu().numpy()
                if progress:
                    progress.report(start + size)
        network.train()
        return drawn

    def save(self, path: str | Path) -> None:
        """Write the fitted generator to one file: whole or not at all."""
        if self._network is None:
            raise InputError("generator matgan is not fitted; call fit first")
        content = {
            "settings": asdict(self.settings),
            "elements": list(self.elements),
            "weights": {name: value.cpu() for name, value in self._network.state_dict().items()},
            # Only 'infill' begins with training rows.
            "known": self._known if self.settings.network == "infill" else self._known[:1],
        }
        with atomic_path(path) as temporary:
            torch.save(content, temporary)

    @classmethod
    def load(cls, path: str | Path, *, device: str | None = None) -> Self:
        """Read a generator written by `save`, onto another device if one is named.

        Without one it goes where its settings say, or to the CPU where they say CUDA and there is none.

        Raises:
            InputError: the file holds something else.
        """
        content = torch.load(path, weights_only=True, map_location="cpu")
        if not isinstance(content, dict) or "known" not in content:
            raise InputError(f"{path} holds no MatGAN; train it again")
        settings = content["settings"]
        generator = cls.from_settings(settings | {"device": device or loading_device(settings["device"])})
        generator.elements, generator._known = tuple(content["elements"]), content["known"]
        network = make_generator_network(len(generator.elements), generator.settings)
        network.load_state_dict(content["weights"])
        generator._network = network.to(generator.device)
        return generator
