"""The FLOPs of a run: counted on the meta device as in a real step, and equal where an arm asks for it."""

import dataclasses
import re
import typing

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tests.recipes.compare.tiny_comparison import BASE, PIXELS
from vjepa.config import config_from_tree
from vjepa.recipes.compare.budget import clip_count, run_cost, training_flops, with_flops
from vjepa.recipes.pretrain import build
from vjepa.recipes.pretrain.config import PretrainConfig
from vjepa.recipes.pretrain.preview import example_batch

VIEWS = {
    "masks": {"multiblock": []},
    "objective": {
        "predict": "views",
        "target_encoder": "none",
        "sigreg": {"weight": 0.02, "projector": {"hidden_dim": 8, "out_dim": 6}},
        "views": {"num_local": 2, "local_size": 8},
    },
}
METHODS = {
    "views": VIEWS,
    "vjepa": {},
    "pixels": PIXELS,
    "salt": {"objective": {"target_encoder": "frozen", "teacher_steps": 30}},
    "vjepa2_1": {
        "objective": {"context_loss": {"warmup": [10, 30]}},
        "encoder": {**BASE["encoder"], "levels": [0, 1]},
    },
}


def config_of(method, steps=60):
    optim = {**BASE["optim"], "steps": steps, "warmup_steps": steps // 4}
    return config_from_tree({**BASE, "optim": optim, **METHODS[method]}, PretrainConfig)


def counted(config):
    """FLOPs of one real step on the CPU, per clip."""
    torch.manual_seed(0)
    objective, batch = build.build_objective(build.Resolved(config)), example_batch(config)
    counter = FlopCounterMode(display=False)
    with counter, sdpa_kernel(SDPBackend.MATH):  # The counter does not know the CPU's fused attention.
        objective(batch)["loss"].backward()
    return counter.get_total_flops() / 2


@pytest.mark.parametrize("method", ["vjepa", "pixels", "views"])
def test_the_count_is_that_of_real_steps_with_the_target_encoder(method):
    config = config_of(method)
    cost = run_cost(config)
    assert cost["total_flops"] == pytest.approx(60 * 4 * counted(config))
    assert cost["clips"] == 240
    assert (cost["target_encoder_flops"] > 0) == (method == "vjepa")


def test_both_stages_of_a_trained_teacher_count():
    config = config_of("salt")
    teacher = config_from_tree({**BASE, **PIXELS}, PretrainConfig)
    assert clip_count(config) == (60 + 30) * 4
    assert training_flops(config) > 30 * 4 * counted(teacher)


@pytest.mark.parametrize("method", ["pixels", "salt", "vjepa2_1"])
def test_an_arm_takes_as_many_steps_as_the_flops_allow_and_schedules_are_stretched(method):
    config, wanted = config_of(method), 7.3e9  # seven times what V-JEPA takes
    scaled = with_flops(config, wanted)
    # At most half a step of each stage is lost to rounding.
    assert training_flops(scaled) == pytest.approx(wanted, rel=0.6 / scaled.optim.steps + 1e-6)
    factor = scaled.optim.steps / config.optim.steps
    assert scaled.optim.warmup_steps == pytest.approx(factor * config.optim.warmup_steps, abs=1)
    assert scaled.objective.teacher_steps == pytest.approx(factor * config.objective.teacher_steps, rel=0.02)
    assert scaled.probe.every == pytest.approx(factor * config.probe.every, rel=0.02)
    if method == "vjepa2_1":
        assert scaled.objective.context_loss.warmup == pytest.approx((10 * factor, 30 * factor), abs=1)
    same = ("data", "masks", "encoder", "predictor", "train", "seed")
    assert all(getattr(scaled, name) == getattr(config, name) for name in same)


def settings_in_steps(section, prefix=""):
    """Dotted names of the settings whose text counts optimiser steps."""
    texts = dict(
        re.findall(r"^        (\w+): (.*?)(?=^        \w+: |\Z)", section.__doc__ or "", re.M | re.S)
    )
    for name, hint in typing.get_type_hints(section).items():
        text = " ".join(texts.get(name, "").split())
        if re.match(r"(Number of o|O)ptimiser steps", text):
            yield prefix + name
        for part in (hint, *typing.get_args(hint)):
            if dataclasses.is_dataclass(part):
                yield from settings_in_steps(part, f"{prefix}{name}.")


def test_every_setting_that_counts_steps_is_stretched_or_belongs_to_the_execution():
    stretched = {
        "optim.steps",
        "optim.warmup_steps",
        "objective.teacher_steps",
        "objective.context_loss.warmup",
        "probe.every",
    }
    found = set(settings_in_steps(PretrainConfig))
    assert stretched <= found
    unknown = {name for name in found - stretched if not name.startswith("train.")}
    assert not unknown, f"stretch {unknown} in vjepa/recipes/compare/budget.py, and name them here"
