"""Autoencoder of compositions: which of them can be decoded, and whether the others are hard to generate.

After Dan et al. (npj Comput. Mater. 6, 84, 2020, section 2.3): encoder and decoder over the 8 × 85 matrix,
loss of the Dice coefficient (equation 3), Adam with a learning rate of 1e-3, batches of 1024. A composition
is decodable when the decoded one equals it exactly.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from matwheel.compositions.formulas import MATGAN_ELEMENTS
from matwheel.core.errors import InputError
from matwheel.core.files import atomic_path
from matwheel.core.progress import Log, log_to_stderr
from matwheel.core.proportions import proportion
from matwheel.core.seeds import derive_seed
from matwheel.generators.matgan.autoencoder_settings import AutoencoderSettings
from matwheel.generators.matgan.representation import MOST_ATOMS, decode, encode
from matwheel.training.checkpoints import TrainingCheckpoint
from matwheel.training.devices import resolve_device
from matwheel.training.resumable_training import train_network

if TYPE_CHECKING:
    import pandas as pd

PUBLISHED_DECODABLE = {"training": 0.9631, "held_out": 0.9550}
"""Share of decodable OQMD rows in the paper."""
PUBLISHED_LINK = {True: 0.6026, False: 0.05}
"""Share of decodable and of non-decodable OQMD rows found among 2,000,000 generated ones in the paper."""
_ROWS_AT_A_TIME = 4096
# Scale and shift of the untrained network's outputs before the sigmoid; see _start_near_the_identity.
_OUTPUT_SCALE, _OUTPUT_BIAS = 4.0, -4.0


def dice_loss(cells: Tensor, decoded: Tensor) -> Tensor:
    """Return 1 − 2 A · B / (ΣA + ΣB), the mean over the rows (equation 3 of the paper).

    Args:
        cells: matrices of zeros and ones, shape (n, rows, elements), none of them all zeros.
        decoded: values between 0 and 1, same shape.
    """
    overlap = (cells * decoded).sum(dim=(1, 2))
    return (1 - 2 * overlap / (cells.sum(dim=(1, 2)) + decoded.sum(dim=(1, 2)))).mean()


class DenseAutoencoder(nn.Module):
    """One hidden layer with batch normalisation and ReLU on either side of the latent numbers."""

    def __init__(self, elements: int, hidden_width: int, latent_width: int) -> None:
        super().__init__()
        self.shape = (MOST_ATOMS, elements)
        cells = MOST_ATOMS * elements
        first, last = nn.Linear(cells, hidden_width), nn.Linear(hidden_width, latent_width)
        back, output = nn.Linear(latent_width, hidden_width), nn.Linear(hidden_width, cells)
        self.encoder = nn.Sequential(first, nn.BatchNorm1d(hidden_width), nn.ReLU(), last)
        self.decoder = nn.Sequential(back, nn.BatchNorm1d(hidden_width), nn.ReLU(), output, nn.Sigmoid())
        self._start_near_the_identity(first, last, back, output)

    @staticmethod
    @torch.no_grad()
    def _start_near_the_identity(
        first: nn.Linear, last: nn.Linear, back: nn.Linear, output: nn.Linear
    ) -> None:
        """Give the decoder the transposed weights of the encoder, and every cell a value near 0.

        Under the Dice loss a cell that is rarely 1 is pushed to 0 by all other rows, long before the network
        can tell the rows apart, and a sigmoid near 0 has no gradient to come back: with the usual random
        weights a third of the OQMD rows is never decoded. Transposed random weights already tell them apart.
        """
        nn.init.normal_(first.weight, std=first.out_features**-0.5)
        nn.init.normal_(last.weight, std=last.out_features**-0.5)
        back.weight.copy_(last.weight.T)
        output.weight.copy_(_OUTPUT_SCALE * first.weight.T)
        nn.init.constant_(output.bias, _OUTPUT_BIAS)

    def forward(self, cells: Tensor) -> Tensor:
        """Return decoded matrices, shape (n, 8, elements), values between 0 and 1."""
        return self.decoder(self.encoder(cells.flatten(1))).unflatten(1, self.shape)


class ConvolutionalAutoencoder(nn.Module):
    """Seven convolutions and a dense layer, then a dense layer and seven deconvolutions, as in the paper.

    Each is followed by batch normalisation and ReLU, the last by a sigmoid. The paper's sizes are in its
    supplement; these are our own: the second, fourth and sixth convolution halve both sides.
    """

    _CHANNELS = (1, 1, 2, 2, 4, 4, 4)
    _STRIDES = (1, 2, 1, 2, 1, 2, 1)

    def __init__(self, elements: int, channels: int, latent_width: int) -> None:
        super().__init__()
        widths = [1, *(channels * factor for factor in self._CHANNELS)]
        sides = [(MOST_ATOMS, elements)]
        encoder: list[nn.Module] = []
        decoder: list[nn.Module] = []
        for before, after, stride in zip(widths[:-1], widths[1:], self._STRIDES, strict=True):
            encoder += [nn.Conv2d(before, after, 3, stride, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
            high, wide = sides[-1]
            sides.append((-(-high // stride), -(-wide // stride)))
            missing = tuple(
                large - ((small - 1) * stride + 1) for large, small in zip(*sides[-2:], strict=True)
            )
            last: list[nn.Module] = (
                [nn.Sigmoid()] if before == 1 and len(sides) == 2 else [nn.BatchNorm2d(before), nn.ReLU()]
            )
            decoder = [
                nn.ConvTranspose2d(after, before, 3, stride, padding=1, output_padding=missing),
                *last,
                *decoder,
            ]
        size = widths[-1] * sides[-1][0] * sides[-1][1]
        self.encoder = nn.Sequential(*encoder, nn.Flatten(), nn.Linear(size, latent_width))
        self.decoder = nn.Sequential(
            nn.Linear(latent_width, size),
            nn.Unflatten(1, (widths[-1], *sides[-1])),
            nn.BatchNorm2d(widths[-1]),
            nn.ReLU(),
            *decoder,
        )

    def forward(self, cells: Tensor) -> Tensor:
        """Return decoded matrices, shape (n, 8, elements), values between 0 and 1."""
        return self.decoder(self.encoder(cells.unsqueeze(1))).squeeze(1)


class CompositionAutoencoder:
    """Encoder and decoder of compositions given as counts of atoms."""

    name = "matgan_autoencoder"

    def __init__(
        self, settings: AutoencoderSettings | None = None, *, device: torch.device | str = "cpu"
    ) -> None:
        self.settings = settings or AutoencoderSettings()
        self.device = torch.device(device)
        self.elements: tuple[str, ...] = ()
        self._network: nn.Module | None = None

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> CompositionAutoencoder:
        """Return an unfitted autoencoder: the defaults with single values changed.

        `settings["device"]` ('auto') says where it is trained.

        Raises:
            InputError: unknown setting, or a value that is not allowed.
        """
        changes = {name: value for name, value in settings.items() if name != "device"}
        return cls(AutoencoderSettings(**changes), device=resolve_device(settings.get("device", "auto")))

    def fit(
        self,
        counts: NDArray[np.integer],
        elements: Sequence[str] = MATGAN_ELEMENTS,
        *,
        validation_counts: NDArray[np.integer],
        seed: int,
        checkpoint: TrainingCheckpoint | None = None,
        log: Log = log_to_stderr,
    ) -> dict[str, Any]:
        """Train; the state with the largest decodable share of the validation rows is kept.

        Args:
            counts: atoms of each element, shape (n, k), each row with some, at most 8 of each element.
            elements: the k symbols of the columns.
            validation_counts: compositions that choose the state, shape (m, k), m ≥ 1.
            seed: of parameters and batches.
            checkpoint: makes the training resumable.
            log: gets a line every few seconds.

        Returns:
            A report that JSON can hold: settings, training_rows, validation_rows, seed, steps, kept_step,
            best_score (non-decodable share of the validation rows), curve, and the shares
            training_decodable and validation_decodable.

        Raises:
            InputError: too few rows, rows without atoms or with more than 8 of one element.
            FloatingPointError: the training diverged.
        """
        self.elements = tuple(elements)
        for rows, what, smallest in ((counts, "training", 2), (validation_counts, "validation", 1)):
            self._check(rows, what)
            if len(rows) < smallest:
                raise InputError(f"{len(rows)} {what} rows, at least {smallest} are needed; enlarge the set")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, self.name, "parameters"))
            network = self._network = self._new_network()

        def loss_of_rows(rows: NDArray[np.int64]) -> Tensor:
            cells = torch.from_numpy(encode(counts[rows])).to(self.device)
            return dice_loss(cells, network(cells))

        def non_decodable_share(judged: nn.Module) -> float:
            decoded = self._reconstruct(judged, validation_counts)
            return 1.0 - float((decoded == validation_counts).all(axis=1).mean())

        report = train_network(
            network,
            len(counts),
            loss_of_rows,
            non_decodable_share,
            self.settings.plan(),
            name="autoencoder",
            seed=derive_seed(seed, self.name, "training"),
            checkpoint=checkpoint,
            log=log,
        )
        return {
            "settings": asdict(self.settings),
            "training_rows": len(counts),
            "validation_rows": len(validation_counts),
            "seed": seed,
            **report,
            "training_decodable": float(self.is_decodable(counts).mean()),
            "validation_decodable": float(self.is_decodable(validation_counts).mean()),
        }

    def reconstruct(self, counts: NDArray[np.integer]) -> NDArray[np.uint8]:
        """Return the decoded compositions, shape of `counts`; not reduced, and a row may be all zeros.

        Raises:
            RuntimeError: the autoencoder was neither fitted nor loaded.
            InputError: wrong compositions.
        """
        if self._network is None:
            raise RuntimeError("fit or load the autoencoder first")
        self._check(counts, "given")
        return self._reconstruct(self._network, counts)

    def is_decodable(self, counts: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Say of each composition whether it is decoded exactly, shape (n,).

        Raises:
            RuntimeError, InputError: as `reconstruct`.
        """
        return (self.reconstruct(counts) == counts).all(axis=1)

    def save(self, path: str | Path) -> None:
        """Write weights, elements and settings to one file, the same bytes for the same model."""
        if self._network is None:
            raise RuntimeError("fit or load the autoencoder first")
        # A file path would put its (temporary) name into the archive, so the bytes are made in memory.
        content = io.BytesIO()
        torch.save(
            {
                "model": self.name,
                "settings": asdict(self.settings),
                "elements": list(self.elements),
                "weights": {name: value.cpu() for name, value in self._network.state_dict().items()},
            },
            content,
        )
        with atomic_path(path) as temporary:
            temporary.write_bytes(content.getvalue())

    @classmethod
    def load(cls, path: str | Path, *, device: torch.device | str = "cpu") -> CompositionAutoencoder:
        """Read a model written by `save`."""
        saved = torch.load(path, weights_only=True, map_location="cpu")
        model = cls(AutoencoderSettings(**saved["settings"]), device=device)
        model.elements = tuple(saved["elements"])
        with torch.random.fork_rng(devices=[]):
            model._network = model._new_network()
        model._network.load_state_dict(saved["weights"])
        model._network.eval()
        return model

    @torch.no_grad()
    def _reconstruct(self, network: nn.Module, counts: NDArray[np.integer]) -> NDArray[np.uint8]:
        network.eval()
        decoded = np.zeros(np.shape(counts), dtype=np.uint8)
        for first in range(0, len(counts), _ROWS_AT_A_TIME):
            rows = slice(first, first + _ROWS_AT_A_TIME)
            cells = torch.from_numpy(encode(counts[rows])).to(self.device)
            decoded[rows] = decode(network(cells), self.settings.threshold).cpu().numpy()
        return decoded

    def _new_network(self) -> nn.Module:
        settings = self.settings
        network: nn.Module
        if settings.network == "dense":
            network = DenseAutoencoder(len(self.elements), settings.hidden_width, settings.latent_width)
        else:
            network = ConvolutionalAutoencoder(len(self.elements), settings.channels, settings.latent_width)
        return network.to(self.device)

    def _check(self, counts: NDArray[np.integer], what: str) -> None:
        if np.ndim(counts) != 2 or np.shape(counts)[1] != len(self.elements):
            raise InputError(
                f"{what} compositions of shape {np.shape(counts)}; give one column for each of the "
                f"{len(self.elements)} elements"
            )
        empty = np.flatnonzero(~np.any(counts, axis=1))
        if len(empty):
            raise InputError(f"{what} composition {empty[0] + 1} has no atoms; leave the row out")


def decodable_shares(decodable: Mapping[str, NDArray[np.bool_]]) -> pd.DataFrame:
    """Return the decodable share of each part of a set beside the paper's.

    Args:
        decodable: part, e.g. 'training', 'held_out' → whether each of its rows is decodable.

    Returns:
        One row per part: part, rows, decodable, share with its 95 % interval low, high, and published (empty
        where the paper has none).
    """
    import pandas as pd

    rows = []
    for part, values in decodable.items():
        share = proportion(int(np.sum(values)), len(values))
        rows.append(
            {
                "part": part,
                "rows": share["n"],
                "decodable": share["count"],
                "share": share["value"],
                "low": share["low"],
                "high": share["high"],
                "published": PUBLISHED_DECODABLE.get(part, np.nan),
            }
        )
    return pd.DataFrame(rows)


def decodability_link(decodable: NDArray[np.bool_], generated: NDArray[np.bool_]) -> pd.DataFrame:
    """Return the two-by-two table of decodable and generated training rows.

    Args:
        decodable: whether each row is decodable, shape (n,).
        generated: whether each row is among the generated compositions, shape (n,).

    Returns:
        Two rows, decodable first: decodable, rows, generated, never_generated, share_generated with its 95 %
        interval generated_low, generated_high, share_never_generated, and published_share_generated (OQMD,
        2,000,000 samples). Shares of no rows are empty.

    Raises:
        InputError: shapes that differ.
    """
    import pandas as pd

    decodable, generated = np.asarray(decodable, dtype=bool), np.asarray(generated, dtype=bool)
    if decodable.shape != generated.shape or decodable.ndim != 1:
        raise InputError(
            f"decodable has shape {decodable.shape}, generated {generated.shape}; give one entry per row each"
        )
    table = []
    for kind in (True, False):
        rows, found = int((decodable == kind).sum()), int(generated[decodable == kind].sum())
        share = proportion(found, rows) if rows else {"value": np.nan, "low": np.nan, "high": np.nan}
        table.append(
            {
                "decodable": kind,
                "rows": rows,
                "generated": found,
                "never_generated": rows - found,
                "share_generated": share["value"],
                "generated_low": share["low"],
                "generated_high": share["high"],
                "share_never_generated": 1 - share["value"],
                "published_share_generated": PUBLISHED_LINK[kind],
            }
        )
    return pd.DataFrame(table)
