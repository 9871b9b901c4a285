"""Fewer bits: nearly the same numbers, float32 outside, less memory."""

import copy

import pytest
import torch

from tests.inference.conftest import make_world
from vjepa.inference.future import FuturePredictor
from vjepa.models.precision import reduce_precision


def stored_bytes(module):
    return sum(
        tensor.untyped_storage().nbytes()
        for tensor in module.state_dict().values()
        if tensor.dtype != torch.int8
    )


@pytest.mark.parametrize(("kind", "most"), [("int8", 0.02), ("bf16", 0.03)])
def test_answers_stay_nearly_the_same(kind, most):
    if kind == "int8":
        pytest.importorskip("torchao")
    world = make_world(0)
    reduced = reduce_precision(copy.deepcopy(world), kind)
    video = torch.randint(0, 256, (2, 16, 3, 16, 16), dtype=torch.uint8)
    with torch.no_grad():
        tokens, expected = reduced.encode(video), world.encode(video)
    assert tokens.dtype == torch.float32
    error = (tokens - expected).norm() / expected.norm()
    assert 0 < error < most
    predicted, whole = (
        FuturePredictor(model).observe(video[:, :10]).predict().embeddings_BFhwY for model in (reduced, world)
    )
    assert 0 < (predicted - whole).norm() / whole.norm() < 3 * most


def test_bfloat16_takes_half_the_memory():
    world = make_world(0)
    before = stored_bytes(world.encoder)
    assert stored_bytes(reduce_precision(world, "bf16").encoder) == before / 2
