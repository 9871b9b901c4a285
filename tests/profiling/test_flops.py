import pytest
import torch

from tests.objectives.builders import small_batch, small_jepa
from vjepa.profiling.flops import step_cost


def products(tokens, width, depth, mlp=4):
    """Multiplications and additions of a stack of blocks, counted by hand for one clip."""
    linear = depth * tokens * (4 + 2 * mlp) * width * width
    attention = depth * 2 * tokens * tokens * width
    return 2 * (linear + attention)


def test_flops_are_those_counted_by_hand():
    with torch.device("meta"):
        jepa = small_jepa()
    cost = step_cost(jepa, small_batch(clips=2))
    pixels = 2 * 8 * 8 * 3
    target = products(36, 36, 2) + 2 * 36 * pixels * 36
    trained, inputs = 0, 0
    for context, targets in ((12, 20), (6, 30)):
        embed = 2 * context * pixels * 36
        predictor = products(context + targets, 24, 1) + 2 * context * 36 * 24 + 2 * targets * 24 * 36
        trained += products(context, 36, 2) + embed + predictor
        inputs += embed  # pixels need no gradient
    by_hand = target + 3 * trained - inputs
    assert cost.flops == pytest.approx(by_hand, rel=0.02)


def test_parameters_and_memory():
    with torch.device("meta"):
        jepa = small_jepa()
    cost = step_cost(jepa, small_batch(clips=2))
    assert cost.parameters == sum(parameter.numel() for parameter in jepa.parameters())
    assert cost.trained == cost.parameters - sum(p.numel() for p in jepa.target_encoder.parameters())
    assert cost.memory_bytes(10) - cost.memory_bytes(5) == pytest.approx(5 * cost.activation_bytes)
    doubled = step_cost(jepa, small_batch(clips=4))
    assert doubled.activation_bytes == pytest.approx(cost.activation_bytes, rel=0.02)
