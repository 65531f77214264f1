"""Pictures as text that stands in the page itself, so that the page is one file."""

from __future__ import annotations

import io
import re
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Characters that may stand as they are in a data URI inside double quotes: few escapes, a short page.
_SAFE = " !$&'()*+,-./:;=?@[]^_`{|}~"
_PREAMBLE = re.compile(r"<\?xml.*?\?>|<!DOCTYPE.*?>|<!--.*?-->|<metadata>.*?</metadata>", re.DOTALL)
# Places and outlines are rounded, scales are not: a glyph's is 0.0156.
_COORDINATES = re.compile(r' (?:d|x|y|points)="[^"]*"')
_LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}(?![\d.]*e)")


def svg_source(path: str | Path) -> str:
    """Return an SVG file as a data URI: without preamble and metadata, coordinates to a hundredth of a point.

    Raises:
        ValueError: the file holds no SVG.
    """
    return svg_text_source(Path(path).read_text(encoding="utf-8"), str(path))


def svg_text_source(svg: str, name: str = "picture") -> str:
    """Return the text of an SVG as a data URI; see `svg_source`.

    Raises:
        ValueError: the text holds no SVG.
    """
    text = _PREAMBLE.sub("", svg).strip()
    if not text.startswith("<svg"):
        raise ValueError(f"{name}: holds no SVG")
    text = _COORDINATES.sub(lambda part: _LONG_NUMBER.sub(_rounded, part.group()), text)
    text = re.sub(r"\s+", " ", text).replace("> <", "><").replace('"', "'")
    return f"data:image/svg+xml,{quote(text, safe=_SAFE)}"


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number.group()):.2f}".rstrip("0").rstrip(".")


def png_source(figure: Figure) -> str:
    """Return a drawing as the data URI of a PNG with a palette, a third of the size of its SVG or less."""
    from PIL import Image

    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=150)
    small = io.BytesIO()
    Image.open(drawn).convert("RGB").quantize(64).save(small, format="png", optimize=True)
    return f"data:image/png;base64,{b64encode(small.getvalue()).decode()}"
