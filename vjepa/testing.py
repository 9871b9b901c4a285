"""Checks for objectives of your own: what the trainer takes for granted, asserted in one call.

    from vjepa.testing import check_objective

    def test_my_objective():
        check_objective(MyObjective(...), batch)

`vjepa/README.md` ("What an objective promises") has the reasons.
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

from vjepa.batch import TokenMask
from vjepa.objectives.batch_metric import BatchMetric, of_whole_batch

_TOLERANCE = 1e-4  # relative; sums over clips are taken in another order


def check_objective(objective: nn.Module, batch: Any, *, measures_batch: bool = False) -> None:
    """Assert that an objective keeps its promises on a batch.

    Args:
        objective: Module with networks, whose ``forward(batch)`` returns a dictionary with ``loss``. It is
            left as it was.
        batch: A batch as the trainer gives it, of 4 clips or more; an even number.
        measures_batch: The loss is a statistic of the whole batch, and no mean over clips.

    Raises:
        AssertionError: A promise is broken; it says which.
    """
    objective = copy.deepcopy(objective).eval()  # without drop path, the only chance that `forward` may have
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
            f"{name} gives the loss {found.item()} instead of {outputs['loss'].item()}: forward must be a "
            "function of the "
            "batch and of what the state_dict holds"
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
            "mean over clips, or "
            "a BatchMetric"
        )


def _check_step(objective: nn.Module) -> None:
    trained = {name for name, parameter in objective.named_parameters() if parameter.requires_grad}
    objective.after_step(1)  # type: ignore[operator]
    after = {name for name, parameter in objective.named_parameters() if parameter.requires_grad}
    assert after == trained, f"after_step changes which parameters are trained: {sorted(after ^ trained)}"


class _NoDoubles(TorchDispatchMode):
    """Raises where an operation gives a tensor in double precision."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        doubles = [
            leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor) and leaf.dtype == torch.float64
        ]
        assert not doubles, (
            f"{function} makes a float64 tensor, and some devices have none (`vjepa.double_precision`)"
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
        f"on the meta device the loss is on {loss.device}: make tensors on the device of the batch"
    )


def _num_clips(batch: Any) -> int:
    clips = next(len(value) for value in vars_of(batch).values() if isinstance(value, Tensor))
    assert clips >= 4, f"the batch has {clips} clips: give 4 or more"
    return clips


def vars_of(batch: Any) -> dict[str, Any]:
    """The fields of a batch by name."""
    return {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}


def _map(batch: Any, change: Any) -> Any:
    """The batch with `change` applied to its tensors, those of its masks too."""
    changed = {}
    for name, value in vars_of(batch).items():
        if isinstance(value, Tensor):
            changed[name] = change(value)
        elif isinstance(value, tuple) and value and isinstance(value[0], TokenMask):
            changed[name] = tuple(mask.map(change) for mask in value)
    return dataclasses.replace(batch, **changed)


def _clips_of(batch: Any, rows: Tensor) -> Any:
    return _map(batch, lambda tensor: tensor[rows])
