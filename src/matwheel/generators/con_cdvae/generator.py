"""Con-CDVAE behind the interface of all generators."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike

from matwheel.core.errors import InputError
from matwheel.core.files import atomic_path
from matwheel.core.progress import Log, log_to_stderr
from matwheel.core.registries import registered
from matwheel.core.seeds import derive_seed
from matwheel.crystals.crystal import Crystal
from matwheel.generators.con_cdvae.crystal_tensors import crystal_tensors
from matwheel.generators.con_cdvae.diffusion_prior import DiffusionPrior
from matwheel.generators.con_cdvae.model import ConditionalAutoencoder
from matwheel.generators.con_cdvae.settings import ConCDVAESettings
from matwheel.generators.con_cdvae.training import fit_autoencoder_and_prior
from matwheel.generators.registry import SAMPLERS
from matwheel.training.checkpoints import TrainingCheckpoint
from matwheel.training.devices import loading_device, resolve_device


class ConCDVAE:
    """The two-step conditional generator; see `interface.Generator`."""

    name = "con_cdvae"

    def __init__(self, settings: ConCDVAESettings | None = None) -> None:
        self.settings = settings or ConCDVAESettings()
        self.sampling_report: dict[str, Any] = {}
        self._models: tuple[ConditionalAutoencoder, DiffusionPrior] | None = None

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Return an unfitted generator whose named settings differ from the defaults.

        Raises:
            InputError: an unknown name or a value out of range.
        """
        return cls(ConCDVAESettings(**settings))

    def fit(
        self,
        crystals: Sequence[Crystal],
        labels: ArrayLike,
        *,
        validation_crystals: Sequence[Crystal] = (),
        validation_labels: ArrayLike = (),
        seed: int,
        checkpoint: TrainingCheckpoint | None = None,
        log: Log = log_to_stderr,
    ) -> dict[str, Any]:
        """Learn from crystals and labels (n,); without validation crystals the heads learn to the last step.

        Returns:
            A JSON-able report: settings, loss curves by stage and step, the steps kept.

        Raises:
            InputError: fewer than 2 crystals, or one that cannot be used; the message names it.
            FloatingPointError: a loss is not finite; the message names stage and step.
        """
        if len(crystals) < 2:
            raise InputError(f"{len(crystals)} training crystals; Con-CDVAE needs 2 or more")
        train = crystal_tensors(crystals, labels)
        validation = (
            crystal_tensors(validation_crystals, validation_labels) if len(validation_crystals) else None
        )
        device = resolve_device(self.settings.device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "weights"))
            autoencoder = ConditionalAutoencoder(self.settings, int(train.atom_counts.max()))
            prior = DiffusionPrior(self.settings)
        autoencoder.set_ranges(train)
        autoencoder, prior = autoencoder.to(device), prior.to(device)
        report = fit_autoencoder_and_prior(
            autoencoder,
            prior,
            train,
            validation,
            settings=self.settings,
            device=device,
            seed=seed,
            checkpoint=checkpoint,
            log=log,
        )
        self._models = autoencoder.eval(), prior.eval()
        return {"generator": self.name, "seed": seed, "max_atoms": autoencoder.max_atoms, **report}

    def sample(
        self,
        conditions: ArrayLike,
        *,
        seed: int,
        id_prefix: str,
        settings: Mapping[str, Any] | None = None,
        log: Log = log_to_stderr,
    ) -> list[Crystal]:
        """Return one crystal per condition (n,), in that order; `settings` are of `ConCDVAESamplingSettings`.

        `sampling_report` then tells how many blueprints were drawn anew or had their cell clamped because
        the cell was degenerate. No crystal is replaced for any other reason.

        Raises:
            RuntimeError: not fitted.
            InputError: a condition that is not a finite number, or a wrong setting.
            FloatingPointError: the network gives values that are not finite.
        """
        from pymatgen.core import Element

        autoencoder, prior = self._fitted()
        values = np.asarray(conditions, dtype=np.float64).ravel()
        wrong = ~np.isfinite(values)
        if wrong.any():
            i = int(np.argmax(wrong))
            raise InputError(f"condition {i} is {values[i]}; give finite numbers")
        labels = torch.tensor(values, dtype=torch.float32, device=autoencoder.noise.device)
        # By name, since a training depends on nothing of it.
        sample_crystals = registered(SAMPLERS, self.name, "generator")
        found, self.sampling_report = sample_crystals(
            autoencoder, prior, labels, settings or {}, seed=seed, log=log
        )
        return [
            Crystal(
                f"{id_prefix}-{i:05d}",
                tuple(Element.from_Z(int(number) + 1).symbol for number in types),
                lattice,
                coords,
            )
            for i, (types, lattice, coords) in enumerate(found)
        ]

    def save(self, path: str | Path) -> None:
        """Write weights and settings to one file that `torch.load(weights_only=True)` reads."""
        autoencoder, prior = self._fitted()
        content = {
            "generator": self.name,
            "settings": json.dumps(asdict(self.settings), sort_keys=True),
            "max_atoms": autoencoder.max_atoms,
            "autoencoder": {name: value.cpu() for name, value in autoencoder.state_dict().items()},
            "prior": {name: value.cpu() for name, value in prior.state_dict().items()},
        }
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            torch.save(content, file)

    @classmethod
    def load(cls, path: str | Path, *, device: str | None = None) -> Self:
        """Read a generator written by `save`, onto another device if one is named.

        Without one it goes where its settings say, or to the CPU where they say CUDA and there is none.

        Raises:
            InputError: the file holds something else.
        """
        content = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(content, dict) or content.get("generator") != cls.name:
            raise InputError(f"{path} is not a saved Con-CDVAE; train the generator again")
        settings = json.loads(content["settings"])
        generator = cls(
            ConCDVAESettings(**(settings | {"device": device or loading_device(settings["device"])}))
        )
        own_device = resolve_device(generator.settings.device)
        with torch.random.fork_rng(devices=[]):
            autoencoder = ConditionalAutoencoder(generator.settings, content["max_atoms"])
            prior = DiffusionPrior(generator.settings)
        autoencoder.load_state_dict(content["autoencoder"])
        prior.load_state_dict(content["prior"])
        generator._models = autoencoder.to(own_device).eval(), prior.to(own_device).eval()
        return generator

    def _fitted(self) -> tuple[ConditionalAutoencoder, DiffusionPrior]:
        if self._models is None:
            raise RuntimeError("this generator is not trained; call fit or load first")
        return self._models
