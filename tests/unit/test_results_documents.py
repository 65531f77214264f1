"""What the documents say of results is what the committed tables say; see `documented_figures`."""

from __future__ import annotations

import re

import pytest
from documented_figures import _NUMBER, RESULTS, ROOT, Block, block_faults, blocks, faults, figures

DOCUMENTS = [*sorted(RESULTS.glob("*.md")), ROOT / "README.md"]
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in DOCUMENTS}


@pytest.mark.parametrize("name", TEXTS)
def test_every_figure_is_in_the_cell_that_it_names(name: str) -> None:
    assert faults(TEXTS[name]) == []


@pytest.mark.parametrize("name", TEXTS)
def test_another_digit_anywhere_is_noticed(name: str) -> None:
    """Each figure that has a cell is changed in its last digit, one at a time.

    One in a hundred may pass: a 0 is also a small share that is not in per cent.
    """
    unnoticed, tried = [], 0
    for block in blocks(TEXTS[name]):
        if not any(line.strip().startswith("from ") for line in block.sources):
            continue
        for changed in _with_one_digit_changed(block):
            tried += 1
            if not block_faults(changed):
                unnoticed.append((block.line, changed.text))
    assert len(unnoticed) <= tried / 100, f"{len(unnoticed)} of {tried}: {unnoticed[:3]}"


def _with_one_digit_changed(block: Block):
    plain = re.sub(r"`[^`]*`", lambda found: " " * len(found[0]), block.text)
    first = len("\n".join(plain.split("\n")[:2])) if plain.startswith("|") else 0
    sourced = figures(block.text)
    for found in _NUMBER.finditer(plain):
        if found.start() < first or found.group() not in sourced:
            continue
        if (
            plain.startswith("|")
            and "|" not in plain[plain.rfind("\n", 0, found.start()) + 2 : found.start()]
        ):
            continue  # a name, in the first column
        digit = re.search(r"\d(?=\D*$)", found.group().partition("e")[0])
        at = found.start() + digit.start()
        other = str((int(digit.group()) + 3) % 10)
        yield block._replace(text=block.text[:at] + other + block.text[at + 1 :])


WRONG = {
    "six of eight contrasts, where the table has seven": (
        "The intervals exclude zero on six of the eight latent contrasts.",
        "from table2_contrasts.csv where predictor == 'latent' and interval_low > 0: number_of_rows\n"
        "from table2_contrasts.csv where predictor == 'latent': number_of_rows",
    ),
    "the same in digits": (
        "The intervals exclude zero on 6 of the 8 latent contrasts.",
        "from table2_contrasts.csv where predictor == 'latent' and interval_low > 0: number_of_rows\n"
        "from table2_contrasts.csv where predictor == 'latent': number_of_rows",
    ),
    "one contrast of CGCNN stands out, where three do": (
        "The interval of 1 of 8 contrasts of CGCNN lies above zero.",
        "from table2_contrasts.csv where predictor == 'cgcnn' and interval_low > 0: number_of_rows\n"
        "from table2_contrasts.csv where predictor == 'cgcnn': number_of_rows",
    ),
    "power 0.8 is one miss in five, not four": (
        "Differences below 16 meV/atom would have been missed four times out of five.",
        "from table2_contrasts.csv where predictor == 'cgcnn' and dataset == 'jarvis2d_exfoliation' and "
        "method == 'F_GF': minimum_detectable_difference",
    ),
    "generated crystals harmed: more contrasts than the corrected test decides": (
        "Adding generated crystals is significant in 4 of the contrasts.",
        "from table2_contrasts.csv where method in ('F_GF', 'S_GS') and better == 'second': number_of_rows",
    ),
    "a rate of all crystals whose table says 0 to 32 %": (
        "M.S.U.N.D. of all is 0.0 to 0.7 %.",
        "from sun.csv where set.str.contains('jarvis') and metric == 'M.S.U.N.D.' and hull == 'both': "
        "share_at_least share_at_most",
    ),
    "stable per CPU hour, which no table has": ("The model gives 129 stable crystals per CPU hour.", ""),
    "the same with the clock of another figure": (
        "The model gives 129 stable crystals per hour.",
        "from wycryst/yields.csv where set == 'denovo by mpvae, round1': stable_per_clock_hour",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_sentences_that_were_wrong_are_noticed(case: str) -> None:
    sentence, sources = WRONG[case]
    assert faults(f"{sentence}\n<!--\n{sources}\n-->\n" if sources else f"{sentence}\n")


def test_what_the_comments_say_is_understood() -> None:
    def said(text: str, *sources: str) -> list[str]:
        return faults(text + "\n<!--\n" + "\n".join(sources) + "\n-->\n")

    jobs = "from scaling/jobs.csv order rule=fetch_dataset|fetch_references: jobs"
    assert said("50 and 1 jobs of Table 2 with `7net-0`, Ag3SBr and 2×2×2 cells.", jobs) == []
    assert said("50 and 1 jobs in 3 runs.", jobs, "not from a table: 3 runs") == []
    assert said("50 and 1 jobs in 3 runs.", jobs, "not from a table: 4 runs")
    assert said("1 and 50 jobs.", jobs) == []  # a sentence names its cells in any order
    assert said("| rule | jobs |\n|---|---|\n| fetch_dataset | 50 |\n| fetch_references | 1 |", jobs) == []
    assert said("| rule | jobs |\n|---|---|\n| fetch_references | 1 |\n| fetch_dataset | 50 |", jobs)
    assert said("50 jobs.", jobs) and said("50, 1 and 1 jobs.", jobs)
    assert said("50 jobs.", "from scaling/nothing.csv: jobs") and said(
        "50 jobs.", "from scaling/jobs.csv: runs"
    )
    assert said("50 jobs.", "of scaling/jobs.csv: jobs")
    assert faults("50 jobs.\n") and faults("No figures here.\n") == []
