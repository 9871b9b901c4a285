"""Checks of an objective of your own: one call asserts everything that the trainer relies on.

    from vjepa.testing import check_objective

    def test_my_objective():
        check_objective(MyObjective(...), batch)

`vjepa/README.md` ("Requirements on an objective") explains each check.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vjepa.batch import TokenMask, ViewGroup
from vjepa.objectives.batch_metric import BatchMetric, of_whole_batch

_TOLERANCE = 1e-4  # relative; the order of a sum over clips changes its rounding


def check_objective(objective: nn.Module, batch: Any, *, measures_batch: bool = False) -> None:
    """Assert that an objective does what the trainer relies on, for one batch.

    Args:
        objective: Module whose ``forward(batch)`` returns a dictionary with ``loss``. A copy is checked, so
            that the module itself is not changed.
        batch: Batch as the trainer passes it, with an even number of clips, 4 or more.
        measures_batch: Whether the loss is a statistic of the whole batch instead of a mean over clips.

    Raises:
        AssertionError: A check fails; the message says which and why.
    """
    objective = copy.deepcopy(objective).eval()  # drop path is the only randomness that `forward` may have
    outputs = objective(batch)
    _check_outputs(outputs)
    _check_gradient(objective, outputs["loss"])
    _check_repeats(objective, batch, outputs)
    if not measures_batch:
        _check_mean_over_clips(objective, batch, outputs)
    _check_step(objective)
    _check_doubles(objective, batch)
    _check_meta(objective, batch)


def _check_outputs(outputs: Mapping[str, Any]) -> None:
    assert "loss" in outputs, f"forward returns {sorted(outputs)}: it must have 'loss'"
    for name, value in outputs.items():
        if isinstance(value, BatchMetric):
            continue
        assert isinstance(value, Tensor), (
            f"{name} is a {type(value).__name__}: give a tensor or a BatchMetric"
        )
        if name.endswith("_BD"):
            assert value.ndim == 2, f"{name} has shape {tuple(value.shape)}: give one row for each clip"
        else:
            assert value.ndim == 0, (
                f"{name} has shape {tuple(value.shape)}: give a scalar, or end its name in _BD"
            )
        assert value.isfinite().all(), f"{name} is not finite"


def _check_gradient(objective: nn.Module, loss: Tensor) -> None:
    assert loss.requires_grad, "the loss has no gradient"
    loss.backward()  # type: ignore[no-untyped-call]
    trained = [parameter for parameter in objective.parameters() if parameter.requires_grad]
    assert any(parameter.grad is not None for parameter in trained), "the gradient reaches no parameter"
    objective.zero_grad()


def _check_repeats(objective: nn.Module, batch: Any, outputs: Mapping[str, Any]) -> None:
    again = copy.deepcopy(objective)
    again.load_state_dict(objective.state_dict())
    for name, network in (("a second call", objective), ("a copy with the same state_dict", again)):
        found = network(batch)["loss"]
        assert torch.equal(found, outputs["loss"]), (
            f"{name} gives the loss {found.item()} instead of {outputs['loss'].item()}: forward must "
            "depend only on the batch and the state_dict"
        )


def _check_mean_over_clips(objective: nn.Module, batch: Any, outputs: Mapping[str, Any]) -> None:
    clips = _num_clips(batch)
    halves = [objective(_clips_of(batch, half)) for half in torch.arange(clips).chunk(2)]
    for name, whole in outputs.items():
        if isinstance(whole, BatchMetric):
            value = of_whole_batch([half[name] for half in halves], lambda means: means)
            whole = of_whole_batch([whole], lambda means: means)
        elif whole.ndim == 0:
            value = torch.stack([half[name] for half in halves]).mean()
        else:
            continue
        assert torch.allclose(value, whole, rtol=_TOLERANCE, equal_nan=True), (
            f"{name} is {whole.item():.6g} of the batch and {value.item():.6g} of its two halves: give a "
            "mean over clips, or a BatchMetric"
        )


def _check_step(objective: nn.Module) -> None:
    trained = {name for name, parameter in objective.named_parameters() if parameter.requires_grad}
    objective.after_step(1)  # type: ignore[operator]
    after = {name for name, parameter in objective.named_parameters() if parameter.requires_grad}
    assert after == trained, f"after_step changes which parameters are trained: {sorted(after ^ trained)}"


class _NoDoubles(TorchDispatchMode):
    """Raises an error if an operation returns a tensor in double precision."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        doubles = [
            leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor) and leaf.dtype == torch.float64
        ]
        assert not doubles, (
            f"{function} returns a float64 tensor, which some devices lack (see `vjepa.double_precision`)"
        )
        return result


def _check_doubles(objective: nn.Module, batch: Any) -> None:
    with _NoDoubles():
        objective(batch)["loss"].backward()
    objective.zero_grad()


def _check_meta(objective: nn.Module, batch: Any) -> None:
    outline = copy.deepcopy(objective).to("meta")
    loss = outline(_map(batch, lambda tensor: tensor.to("meta")))["loss"]
    assert loss.is_meta, (
        f"on the meta device the loss is on {loss.device}: create tensors on the device of the batch"
    )


def _num_clips(batch: Any) -> int:
    clips = next(len(value) for value in _fields(batch).values() if isinstance(value, Tensor))
    has_halves = clips >= 4 and clips % 2 == 0
    assert has_halves, (
        f"the batch has {clips} clips: give an even number, 4 or more, since two halves are compared with it"
    )
    return clips


def _fields(batch: Any) -> dict[str, Any]:
    """Return the fields of a batch by name."""
    return {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}


def _map(batch: Any, change: Any) -> Any:
    """Return the batch with `change` applied to its tensors, including those of its masks and views."""
    changed = {}
    for name, value in _fields(batch).items():
        if isinstance(value, Tensor):
            changed[name] = change(value)
        elif isinstance(value, tuple) and value and isinstance(value[0], TokenMask | ViewGroup):
            changed[name] = tuple(part.map(change) for part in value)
    return dataclasses.replace(batch, **changed)


def _clips_of(batch: Any, rows: Tensor) -> Any:
    return _map(batch, lambda tensor: tensor[rows])
