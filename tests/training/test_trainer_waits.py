"""The trainer does not wait for the device: what would make the host wait on CUDA is counted on the CPU."""

import traceback
from collections import Counter

import pytest
import torch
from torch.overrides import TorchFunctionMode

from tests.training.methods import METHODS
from vjepa.recipes.pretrain.run import pretrain
from vjepa.training.host_copy import HostCopy
from vjepa.training.trainer import Trainer

WAITS = {
    "tolist", "item", "numpy", "cpu", "nonzero", "masked_select", "unique", "equal", "__bool__", "__float__",
    "__int__",
    "tensor", "as_tensor", "new_tensor",  # copies of Python values, for which CUDA waits as well
}  # fmt: skip


class Watch(TorchFunctionMode):
    """Counts calls that wait, by step, name and place, while `step` is set."""

    def __init__(self):
        super().__init__()
        self.step, self.found = None, Counter()

    def __torch_function__(self, function, types, arguments=(), settings=None):
        name = getattr(function, "__name__", "")
        by_mask = name == "__getitem__" and any(
            isinstance(part, torch.Tensor) and part.dtype == torch.bool for part in arguments[1:]
        )
        if self.step is not None and (name in WAITS or by_mask):
            frames = traceback.extract_stack()[-6:-1]
            self.found[self.step, name, " ".join(f"{frame.filename}:{frame.lineno}" for frame in frames)] += 1
        return function(*arguments, **(settings or {}))


@pytest.mark.parametrize("method", ["vjepa", "residual", "videomae", "sigreg+vicreg", "views", "futures"])
def test_a_step_waits_for_nothing(method, tiny_config, monkeypatch):
    """The first step may make tables that are kept."""
    watch, take = Watch(), Trainer._train_step

    def watched(trainer, batches, request):
        batch = next(batches)  # loading is not the step, and runs in other processes
        watch.step = trainer.step + 1 if trainer.step else None
        try:
            return take(trainer, iter([batch]), request)
        finally:
            watch.step = None

    monkeypatch.setattr(Trainer, "_train_step", watched)
    with watch:
        pretrain(tiny_config("run", *METHODS[method], "--train.log_every=5", "--train.checkpoint_every=12"))
    assert watch.found == Counter()


def test_only_metrics_of_the_step_before_are_read_between_two_steps(tiny_config, monkeypatch):
    """They have arrived while this step was computed; at a step that is logged, its own are read, too."""
    events, take, read = [], Trainer._train_step, HostCopy.read
    steps: dict[int, int] = {}

    def taking(trainer, batches, request):
        report = take(trainer, batches, request)
        steps[id(report.metrics)] = report.step
        copies.append(report.metrics)
        events.append(("taken", report.step))
        return report

    def reading(copy):
        events.append(("read", steps[id(copy)]))
        return read(copy)

    copies: list[HostCopy] = []  # kept, so that each has an id of its own
    monkeypatch.setattr(Trainer, "_train_step", taking)
    monkeypatch.setattr(HostCopy, "read", reading)
    pretrain(tiny_config("run", "--optim.steps=8", "--train.log_every=4", "--train.checkpoint_every=8"))
    taken = [place for place, (kind, _) in enumerate(events) if kind == "taken"]
    for place, end in zip(taken, [*taken[1:], len(events)], strict=True):
        step = events[place][1]
        allowed = {step - 1} if step % 4 and step > 1 else {step - 1, step}
        assert {number for _, number in events[place + 1 : end]} <= allowed
