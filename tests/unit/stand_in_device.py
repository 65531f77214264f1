"""A device made of the CPU's kernels, which refuses what a GPU refuses: to try the device path without one.

Its tensors do not mix with those of the CPU, have no NumPy array, and draw no random numbers. With
`exact=True` it computes with the CPU's kernels, so a model that runs there ends in the CPU's bits if, and
only if, nothing on its path depends on the device. With `exact=False` every operation is done in float64 and
rounded to float32: another rounding, as that of other hardware.

Setting it up changes torch for the whole process and cannot be undone (an experimental interface of torch),
so tests run it in a process of its own.
"""

from __future__ import annotations

import itertools
import json
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from device_trials import TRIALS, Outcome, Trial
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

import matwheel.generators.con_cdvae.generator
import matwheel.generators.matgan.generator
import matwheel.generators.mpvae.generator
from matwheel.training import devices
from matwheel.training.checkpoints import TrainingCheckpoint

_MOVES = {"aten::copy_", "aten::_to_copy"}
# CUDA tensors take indices that live on the CPU.
_INDEXING = {"aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"}


class StandInTensor(torch.Tensor):
    """A tensor of the stand-in device around a tensor of the CPU."""

    exact = True

    @staticmethod
    def __new__(cls, values: torch.Tensor) -> StandInTensor:
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            values.size(),
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            device=DEVICE,
        )
        made.values_on_cpu = values
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = func._schema.name
        if torch.Tag.nondeterministic_seeded in func.tags:
            raise AssertionError(f"{name} draws random numbers on the device")
        if name not in _MOVES:
            judged = args[0] if name in _INDEXING else [args, kwargs]
            tensors = [leaf for leaf in tree_leaves(judged) if isinstance(leaf, torch.Tensor)]
            if any(type(leaf) is not cls and leaf.dim() for leaf in tensors):
                raise AssertionError(f"{name} mixes tensors of two devices")
        target = torch.device(kwargs.pop("device", None) or DEVICE)
        owners = {
            id(leaf.values_on_cpu): leaf for leaf in tree_leaves([args, kwargs]) if isinstance(leaf, cls)
        }
        args, kwargs = tree_map(_values, args), tree_map(_values, kwargs)
        changes = func._schema.is_mutable or "batch_norm" in name  # the latter keeps running statistics
        computes = not changes and not func.is_view and name not in _MOVES
        with torch.no_grad():
            found = (
                _rounded_otherwise(func, args, kwargs)
                if computes and not cls.exact
                else func(*args, **kwargs)
            )
        if target.type == "cpu":
            return found

        def wrapped(value: Any) -> Any:
            if not isinstance(value, torch.Tensor):
                return value
            # What an operation changes in place stays the same tensor.
            return owners[id(value)] if id(value) in owners else cls(value)

        return tree_map(wrapped, found)


def _values(value: Any) -> Any:
    return value.values_on_cpu if isinstance(value, StandInTensor) else value


def _rounded_otherwise(func: Any, args: Any, kwargs: Any) -> Any:
    """Compute in float64 and round what comes out to float32."""
    if kwargs.get("dtype") == torch.float32:
        return func(*args, **kwargs)

    def changed(before: torch.dtype, after: torch.dtype, tree: Any) -> Any:
        return tree_map(
            lambda leaf: leaf.to(after) if isinstance(leaf, torch.Tensor) and leaf.dtype == before else leaf,
            tree,
        )

    if not any(isinstance(leaf, torch.Tensor) and leaf.dtype == torch.float32 for leaf in tree_leaves(args)):
        return func(*args, **kwargs)
    return changed(torch.float64, torch.float32, func(*changed(torch.float32, torch.float64, args), **kwargs))


def _empty(
    size: Any, dtype: Any = None, layout: Any = None, device: Any = None, pin_memory: Any = None,
    memory_format: Any = None,
) -> StandInTensor:  # fmt: skip
    return StandInTensor(torch.empty(size, dtype=dtype or torch.get_default_dtype()))


def _empty_strided(
    size: Any, stride: Any, dtype: Any = None, layout: Any = None, device: Any = None, pin_memory: Any = None
) -> StandInTensor:
    return StandInTensor(torch.empty_strided(size, stride, dtype=dtype or torch.get_default_dtype()))


def _arange(
    start: Any, end: Any, step: Any = 1, dtype: Any = None, layout: Any = None, device: Any = None,
    pin_memory: Any = None,
) -> StandInTensor:  # fmt: skip
    return StandInTensor(torch.arange(start, end, step, dtype=dtype))


def _copy_from(source: Any, target: Any, non_blocking: bool = False) -> torch.Tensor:
    _values(target).copy_(_values(source))
    return target


def _gru(
    inputs: Any, state: Any, weights: Any, has_biases: Any, layers: Any, dropout: Any, training: Any,
    both_ways: Any, batch_first: Any,
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    """One layer of gated recurrent units, step by step as on a CPU; cuDNN has a kernel of its own."""
    assert has_biases and layers == 1 and not both_ways and batch_first
    of_input, of_state, input_bias, state_bias = weights
    linear, hidden, outputs = torch.nn.functional.linear, state[0], []
    for step in linear(inputs.transpose(0, 1), of_input, input_bias).unbind(0):
        given, kept = step.chunk(3, 1), linear(hidden, of_state, state_bias).chunk(3, 1)
        reset, update = (kept[0] + given[0]).sigmoid(), (kept[1] + given[1]).sigmoid()
        new = (given[2] + kept[2] * reset).tanh()
        hidden = (hidden - new) * update + new
        outputs.append(hidden)
    return torch.stack(outputs).transpose(0, 1), hidden[None]


_setup_privateuseone_for_python_backend("standin")
DEVICE = torch.device("standin:0")
_LIBRARY = torch.library.Library("aten", "IMPL")
for _name, _made in {
    "empty.memory_format": _empty,
    "empty_strided": _empty_strided,
    "arange": lambda end, **options: _arange(0, end, **options),
    "arange.start": lambda start, end, **options: _arange(start, end, 1, **options),
    "arange.start_step": _arange,
    "_copy_from": _copy_from,
}.items():
    _LIBRARY.impl(_name, _made, "PrivateUse1")
_LIBRARY.impl("gru.input", _gru, "AutogradPrivateUse1")


class Interrupted(Exception):
    """The training was stopped at a checkpoint."""


class StandInCheckpoint(TrainingCheckpoint):
    """A checkpoint of a training on the stand-in device, whose tensors have no file format of their own."""

    saves_left = 10**9

    def save(self, state: dict[str, Any]) -> None:
        super().save(tree_map(_values, state))
        self.saves_left -= 1
        if self.saves_left == 0:
            raise Interrupted


def report_of(trial: Trial, folder: Path) -> dict[str, Any]:
    """Compare one trial on the CPU with the same, interrupted and resumed, on the stand-in device."""
    _, cpu = trial.train("cpu", seed=1)
    _, other_seed = trial.train("cpu", seed=2)
    checkpoint = StandInCheckpoint(folder / "model.checkpoint", "trial")
    checkpoint.saves_left = 2
    try:
        trial.train("cuda", seed=1, checkpoint=checkpoint)
    except Interrupted:
        model, found = trial.train("cuda", seed=1, checkpoint=checkpoint)
    checkpoint.remove()
    model.save(folder / "model.pt")

    def reloaded(device: str) -> Outcome:
        return trial.outcome(trial.load(folder / "model.pt", device), found.losses, seed=1)

    on_a_cpu = reloaded("cpu")
    StandInTensor.exact = False
    _, rounded = trial.train("cuda", seed=1)
    rounded_sample = reloaded("cuda")
    StandInTensor.exact = True
    return {
        "same_bits": cpu.same_bits(found),
        "on_the_device": trial.differences(cpu, found),
        "loaded_on_a_cpu": trial.differences(found, on_a_cpu, same_weights=True),
        "sampled_with_other_rounding": trial.differences(found, rounded_sample, same_weights=True),
        "trained_with_other_rounding": trial.differences(cpu, rounded),
        "of_another_seed": trial.differences(cpu, other_seed),
    }


def refusals() -> list[str]:
    """Return what the device says to what a GPU does not do."""
    here, there = torch.ones(3), torch.ones(3).to(DEVICE)
    attempts: list[Callable[[], Any]] = [
        lambda: here + there,
        lambda: here[there.long()],
        lambda: torch.rand(3, device=DEVICE),
        lambda: torch.nn.functional.dropout(there),
        there.numpy,
    ]
    said = []
    for attempt in attempts:
        try:
            attempt()
            said.append("")
        except (AssertionError, RuntimeError) as error:
            said.append(str(error))
    return said


def main() -> None:
    """Print what the device refuses and what the trials give, as JSON."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    resolve = devices.resolve_device
    generators = matwheel.generators
    for module in (
        devices, generators.con_cdvae.generator, generators.matgan.generator, generators.mpvae.generator
    ):  # fmt: skip
        module.resolve_device = lambda name: DEVICE if name == "cuda" else resolve(name)
    # Checkpoints are due every 20 s; a clock that leaps makes one due at each step.
    time.monotonic = itertools.count(0, 100).__next__
    with tempfile.TemporaryDirectory() as folder:
        reports = {name: report_of(trial, Path(folder)) for name, trial in TRIALS.items()}
    print(json.dumps({"refusals": refusals(), "trials": reports}))


if __name__ == "__main__":
    main()
