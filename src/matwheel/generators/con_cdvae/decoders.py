"""Decoders by name. A decoder takes noisy crystals and gives displacements and element logits.

Any score network with the signature of `EquivariantDecoder.forward` fits, a GemNet-T for instance; it is one
module and one entry here.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from matwheel.core.errors import InputError
from matwheel.generators.con_cdvae.equivariant_decoder import EquivariantDecoder
from matwheel.generators.con_cdvae.settings import ConCDVAESettings


def _equivariant(settings: ConCDVAESettings, elements: int, condition_width: int) -> nn.Module:
    return EquivariantDecoder(
        elements=elements,
        condition_width=condition_width,
        width=settings.decoder_width,
        layers=settings.decoder_layers,
        vectors=settings.decoder_vectors,
        distance_centres=settings.distance_centres,
        cutoff_angstrom=settings.cutoff_angstrom,
    )


DECODERS: dict[str, Callable[[ConCDVAESettings, int, int], nn.Module]] = {"equivariant": _equivariant}


def make_decoder(settings: ConCDVAESettings, elements: int, condition_width: int) -> nn.Module:
    """Return a new decoder for `elements` element classes and conditions of `condition_width` numbers.

    Raises:
        InputError: unknown decoder.
    """
    if settings.decoder not in DECODERS:
        raise InputError(f"unknown decoder {settings.decoder!r}; choose one of {', '.join(sorted(DECODERS))}")
    return DECODERS[settings.decoder](settings, elements, condition_width)
