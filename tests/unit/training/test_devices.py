"""Where models are trained and draw: what `auto` means, and that the device changes nothing but rounding.

What needs a GPU is skipped where there is none. Without one the same trials run on a stand-in device made of
the CPU's kernels (`stand_in_device`), which finds tensors on the wrong device and draws that depend on it.
"""

from __future__ import annotations

import io
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from device_trials import TRIALS
from torch import nn
from torch.nn import functional

from matwheel.core.errors import InputError
from matwheel.generators.compositions import COMPOSITION_GENERATORS
from matwheel.generators.registry import GENERATORS
from matwheel.predictors.registry import PREDICTORS
from matwheel.training import random_draws
from matwheel.training.checkpoints import TrainingCheckpoint
from matwheel.training.devices import resolve_device

WITHOUT_DEVICE = {
    "constant", "forest", "latent", "uniform", "stoichiometry", "substitution", "enumeration"
}  # fmt: skip
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")


def test_every_model_with_a_device_has_a_trial() -> None:
    """A new entry of a registry belongs among the trials, or is named here as one without a device."""
    known = {*GENERATORS, *COMPOSITION_GENERATORS, *PREDICTORS}
    assert known - set(TRIALS) == WITHOUT_DEVICE


@pytest.fixture
def _switches(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set what CUDA switches in torch as torch has it, and back afterwards."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    for name in ("CUBLAS_WORKSPACE_CONFIG", "SLURM_JOB_ID"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    before = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(False)
    yield
    torch.use_deterministic_algorithms(before, warn_only=warn_only)


@pytest.mark.usefixtures("_switches")
def test_auto_takes_cuda_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == resolve_device("cpu") == torch.device("cpu")
    with pytest.raises(InputError, match=r"sees no CUDA device; set device to auto or cpu.*docs/gpu\.md"):
        resolve_device("cuda")
    assert torch.backends.cudnn.allow_tf32 and not torch.are_deterministic_algorithms_enabled()
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("auto") == resolve_device("cuda") == torch.device("cuda")
    assert not torch.backends.cudnn.allow_tf32
    assert torch.are_deterministic_algorithms_enabled()
    assert torch.is_deterministic_algorithms_warn_only_enabled(), "where it has no kernel torch goes on"
    assert not torch.utils.deterministic.fill_uninitialized_memory
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"]
    assert resolve_device("cpu") == torch.device("cpu")
    with pytest.raises(InputError, match="'gpu'; choose one of auto, cpu, cuda"):
        resolve_device("gpu")


@pytest.mark.usefixtures("_switches")
def test_auto_leaves_the_gpus_of_other_slurm_jobs_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """SLURM without ConstrainDevices shows every GPU of a node to a job that asked for none."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert resolve_device("auto") == torch.device("cpu")
    assert resolve_device("cuda") == torch.device("cuda")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert resolve_device("auto") == torch.device("cuda")


def test_draws_are_those_of_torch_on_a_cpu() -> None:
    logits = torch.randn(200, 7, generator=torch.Generator().manual_seed(0))
    weights, cpu = logits.softmax(1), torch.device("cpu")
    ours, theirs = random_draws.Dropout(0.3), nn.Dropout(0.3)
    pairs: list[tuple[Any, Any]] = [
        (lambda: random_draws.normal(5, 9, device=cpu), lambda: torch.randn(5, 9)),
        (lambda: random_draws.uniform(5, 9, device=cpu), lambda: torch.rand(5, 9)),
        (lambda: random_draws.rows(11, 50, device=cpu), lambda: torch.randint(11, (50,))),
        (lambda: random_draws.category(weights), lambda: torch.multinomial(weights, 1)),
        (
            lambda: random_draws.hard_gumbel_softmax(logits, 0.7),
            lambda: functional.gumbel_softmax(logits, 0.7, hard=True),
        ),
        (lambda: ours(logits), lambda: theirs(logits)),
    ]
    for mine, torchs in pairs:
        torch.manual_seed(4)
        one = mine(), torch.rand(3)
        torch.manual_seed(4)
        other = torchs(), torch.rand(3)
        assert torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])
    assert torch.equal(ours.eval()(logits), logits)


@pytest.mark.parametrize("name", ["matgan", "con_cdvae"])
def test_what_was_saved_on_cuda_loads_on_a_cpu(name: str, tmp_path: Path, monkeypatch) -> None:
    """Models and checkpoints whose tensors are marked as CUDA's, as a GPU machine writes them."""
    trial = TRIALS[name]
    model, outcome = trial.train("cpu", seed=1)
    model.settings = replace(model.settings, device="cuda")
    monkeypatch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
    checkpoint = TrainingCheckpoint(tmp_path / "model.checkpoint", "one")
    checkpoint.save({"weights": torch.arange(3), "random": torch.get_rng_state()})
    model.save(tmp_path / "model.pt")
    monkeypatch.undo()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    saved = io.BytesIO(checkpoint.path.read_bytes().split(b"\n", 3)[3])
    for file in (saved, tmp_path / "model.pt"):
        with pytest.raises(RuntimeError, match="CUDA"):
            torch.load(file, weights_only=True)
    state = checkpoint.load()
    assert state is not None
    torch.set_rng_state(state["random"])
    loaded = trial.load(tmp_path / "model.pt", None)
    assert not trial.differences(outcome, trial.outcome(loaded, outcome.losses, seed=1), same_weights=True)


def test_the_device_path_on_a_stand_in() -> None:
    """Trained there, interrupted and resumed, every model gives what the CPU gives.

    One test for all models, as the process that runs them is what costs time. The tolerances are tried as
    well: other rounding lies within them, another seed does not.
    """
    script = Path(__file__).parents[1] / "stand_in_device.py"
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    refused = ["mixes tensors", "mixes tensors", "draws random", "draws random", "numpy"]
    for said, part in zip(found["refusals"], refused, strict=True):
        assert part in said
    assert found["trials"].keys() == TRIALS.keys()
    for name, report in found["trials"].items():
        # Con-CDVAE clips gradients, for which torch takes other kernels on devices.
        assert report["same_bits"] or name == "con_cdvae", name
        assert "losses" in report.pop("of_another_seed"), name
        del report["same_bits"]
        assert not any(report.values()), (name, report)


@needs_cuda
@pytest.mark.parametrize("name", TRIALS)
def test_cuda_agrees_with_the_cpu(name: str, tmp_path: Path) -> None:
    """Training and sampling, within the tolerances of `device_trials`; a model of CUDA works on the CPU."""
    trial = TRIALS[name]
    _, cpu = trial.train("cpu", seed=1)
    model, cuda = trial.train("cuda", seed=1)
    assert trial.differences(cpu, cuda) == {}
    model.save(tmp_path / "model.pt")
    for device in ("cpu", "cuda"):
        loaded = trial.load(tmp_path / "model.pt", device)
        assert trial.differences(cuda, trial.outcome(loaded, cuda.losses, seed=1), same_weights=True) == {}


@needs_cuda
@pytest.mark.parametrize("name", TRIALS)
def test_a_seed_gives_the_same_bits_on_one_cuda_device(name: str) -> None:
    """Torch promises it for every operation of the trials but the running sums of Con-CDVAE."""
    (_, one), (_, other) = (TRIALS[name].train("cuda", seed=1) for _ in range(2))
    assert one.same_bits(other)


@needs_cuda
@pytest.mark.parametrize("resumed_on", ["cuda", "cpu"])
@pytest.mark.parametrize("name", TRIALS)
def test_a_training_on_cuda_goes_on(name: str, resumed_on: str, tmp_path: Path, monkeypatch) -> None:
    """From its checkpoint, on CUDA or where the next job finds none."""
    # Checkpoints are due every 20 s; a clock that leaps makes one due at each step.
    monkeypatch.setattr(time, "monotonic", itertools.count(0, 100).__next__)
    trial = TRIALS[name]
    _, whole = trial.train("cuda", seed=1)

    class Interrupted(Exception):
        """The training was stopped at its second checkpoint."""

    class Stopping(TrainingCheckpoint):
        saves = 0

        def save(self, state: dict[str, Any]) -> None:
            super().save(state)
            Stopping.saves += 1
            if Stopping.saves == 2:
                raise Interrupted

    with pytest.raises(Interrupted):
        trial.train("cuda", seed=1, checkpoint=Stopping(tmp_path / "model.checkpoint", "trial"))
    checkpoint = TrainingCheckpoint(tmp_path / "model.checkpoint", "trial")
    assert checkpoint.load() is not None
    _, resumed = trial.train(resumed_on, seed=1, checkpoint=checkpoint)
    assert trial.differences(whole, resumed) == {}
