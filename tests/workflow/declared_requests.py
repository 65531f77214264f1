"""What the rule files ask for, read from their text: independent of Snakemake's own evaluation."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Rule:
    """Requests of a rule: megabytes of the first attempt, minutes; and what it runs."""

    name: str
    script: str
    cpus: int
    megabytes: int
    minutes: int
    memory_grows: bool
    is_local: bool
    takes_device: bool

    @property
    def uses_gpu(self) -> bool:
        """Whether it trains or generates on a device."""
        return self.takes_device and bool(re.match("train_|pretrain_|fine_tune_|generate_", self.script))


def declared_rules(project: Path) -> dict[str, Rule]:
    """Return every rule with a script of a project's rule files, by name."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(project.glob("workflow/rules/**/*.smk"))]
    local = {
        name
        for text in texts
        for block in re.findall(r"^localrules:\n((?:    \w+,\n)+)", text, re.MULTILINE)
        for name in re.findall(r"\w+", block)
    }
    blocks = [
        block
        for text in texts
        for block in re.split(r"^(?= *(?:use )?rule \w+)", text, flags=re.MULTILINE)
        if re.match(r" *rule \w+:", block)
    ]
    return {rule.name: rule for rule in (_rule(block, local) for block in blocks)}


def _rule(block: str, local: set[str]) -> Rule:
    def asked(pattern: str) -> str:
        found = re.search(pattern, block)
        assert found, f"no {pattern} in\n{block}"
        return found[1]

    name = asked(r"rule (\w+):")
    return Rule(
        name,
        script=asked(r"scripts/(\w+)\.py"),
        cpus=int(threads[1]) if (threads := re.search(r"threads: (\d+)", block)) else 1,
        megabytes=int(asked(r"mem_mb=(?:grows\()?(\d+)")),
        minutes=int(asked(r"runtime=(\d+)")),
        memory_grows="mem_mb=grows(" in block,
        is_local=name in local,
        takes_device='device=config["device"]' in block,
    )
