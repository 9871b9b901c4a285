import pytest
import torch

from tests.objectives.builders import small_batch, small_jepa
from vjepa.layers.targets import PredictionTargets
from vjepa.profiling.flops import forward_flops, step_cost


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


def test_flops_of_each_network_are_found_however_it_is_entered():
    """Targets of several blocks, and of a frozen encoder, come from another method than `forward`."""
    pixels = 2 * 8 * 8 * 3
    whole = products(36, 36, 2) + 2 * 36 * pixels * 36
    contexts = sum(products(context, 36, 2) + 2 * context * pixels * 36 for context in (12, 6))
    blocks = PredictionTargets("layer_norm", 36, blocks=2)
    alone = {"target_encoder": None, "momentum": None, "frozen_encoder": True}
    for arguments, expected in (
        ({}, {"encoder": contexts, "target_encoder": whole}),
        ({"targets": blocks}, {"encoder": contexts, "target_encoder": whole}),
        ({**alone, "targets": blocks}, {"encoder": contexts + whole}),
    ):
        with torch.device("meta"):
            jepa = small_jepa(**arguments)
        found = forward_flops(jepa, small_batch(clips=2))
        assert {name: found[name] for name in expected} == pytest.approx(expected, rel=0.02)
