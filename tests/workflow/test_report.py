"""`snakemake --report` makes one offline file with the headline results and their captions."""

from __future__ import annotations

import re
from pathlib import Path

from tiny_project import snakemake


def test_report_is_offline_and_has_captions(editable: Path) -> None:
    done = snakemake(editable, "--report", "report.html")
    assert done.returncode == 0, done.stderr
    page = (editable / "report.html").read_text(encoding="utf-8")
    for name in ("table2.csv", "table2.svg", "table2_contrasts.csv", "generators.svg", "audit.svg"):
        assert name in page, name
    for words in ("skill is 1", "Negative: the first training set is better", "rattle training crystals"):
        assert words in page, words
    assert not re.search(r"<(script|link)[^>]+(src|href)=[\"']https?:", page)
