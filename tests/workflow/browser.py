"""A page in headless Chromium: what its console said, whether its images loaded, and a screenshot."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# A continuous run must not pass because the browser was forgotten.
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None and not os.environ.get("CI"), reason="Chromium is not installed"
)
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--enable-logging=stderr",
)  # fmt: skip
# Written into the page after everything has loaded and every fold is open.
WITNESS = """
<script>addEventListener("load", () => {
  for (const fold of document.querySelectorAll("details")) fold.open = true;
  const images = [...document.images];
  Promise.all(images.map(image => image.decode().then(() => "", () => image.alt || "?"))).then(found => {
    const said = document.createElement("script");
    said.type = "application/json"; said.id = "witness";
    said.textContent = JSON.stringify({
      images: images.length, broken: found.filter(name => name), title: document.title,
      shown: document.querySelectorAll("section").length, folds: document.querySelectorAll("details").length,
      height: document.documentElement.scrollHeight,
      asked: performance.getEntriesByType("resource").map(one => one.name)
        .filter(name => !name.startsWith("data:")),
      wider: document.documentElement.scrollWidth > innerWidth });
    document.body.append(said);
  });
});</script>
"""


@dataclass(frozen=True)
class Seen:
    """What the browser made of a page."""

    console: list[str]
    witness: dict[str, object]


def look_at(page: Path) -> Seen:
    """Open a page with all its folds open."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "page.html"
        copy.write_text(
            page.read_text(encoding="utf-8").replace("</body>", f"{WITNESS}</body>"), encoding="utf-8"
        )
        # Virtual time may run out before a busy machine has decoded the images: the browser is asked again.
        for _ in range(5):
            done = _chromium(folder, "--virtual-time-budget=60000", "--dump-dom", copy.as_uri())
            found = re.search(r'<script type="application/json" id="witness">(.*?)</script>', done.stdout)
            if found:
                break
    assert found, f"the page's scripts did not end: {done.stderr[-2000:]}"
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return Seen(console, json.loads(found[1]))


def take_screenshot(page: str, picture: Path, *, width: int = 1300, height: int = 2000) -> None:
    """Draw a page, given as an address that may end in an anchor, into a PNG file."""
    with tempfile.TemporaryDirectory() as folder:
        _chromium(folder, f"--window-size={width},{height}", f"--screenshot={picture}", page)


def _chromium(folder: str, *arguments: str) -> subprocess.CompletedProcess:
    assert CHROMIUM is not None, "Chromium is not installed"
    return subprocess.run(
        [CHROMIUM, *OPTIONS, f"--user-data-dir={folder}/profile", *arguments],
        capture_output=True, text=True, check=True, timeout=600,
    )  # fmt: skip
