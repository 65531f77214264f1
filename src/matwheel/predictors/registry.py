"""All predictors by name. A new one is one module and one line here (see docs/extending.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matwheel.core.registries import Registry, registered

if TYPE_CHECKING:
    from matwheel.predictors.interface import Predictor

# name: (module, class)
PREDICTORS: Registry[tuple[str, str]] = {
    "cgcnn": ("matwheel.predictors.training", "CGCNNPredictor"),
    "constant": ("matwheel.predictors.constant", "ConstantPredictor"),
    "forest": ("matwheel.predictors.forest", "ForestPredictor"),
    "latent": ("matwheel.predictors.latent", "LatentPredictor"),
}


def make_predictor(name: str, settings: Mapping[str, Any] | None = None, prepared: Any = None) -> Predictor:
    """Return an unfitted predictor.

    `settings` change single defaults; for cgcnn the key `preset` names what they start from.
    `prepared` is what `load_prepared` returns; predictors that need nothing prepared ignore it.

    Raises:
        InputError: unknown predictor or setting.
    """
    return registered(PREDICTORS, name, "predictor").from_settings(settings or {}, prepared)


def load_predictor(name: str, path: str | Path, prepared: Any = None) -> Predictor:
    """Return the fitted predictor `name` that was saved to `path`; `prepared` as for a new one.

    Raises:
        InputError: unknown predictor.
    """
    return registered(PREDICTORS, name, "predictor").load(path, prepared)


def load_prepared(name: str, paths: Sequence[str | Path]) -> Any:
    """Read what was computed before for the crystals of some tables, one file each: neighbour graphs for
    cgcnn, latent features for latent. None where there is no file.

    Raises:
        InputError: unknown predictor.
    """
    return registered(PREDICTORS, name, "predictor").read_prepared(paths) if paths else None
