"""Compiled blocks give the same tokens, and a run compiles the blocks of all of its networks."""

import shutil

import pytest
import torch

from tests.models.builders import small_encoder
from vjepa.recipes.pretrain import build


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling for a CPU needs a C++ compiler")
def test_compiled_blocks_give_the_same_tokens():
    encoder, video = small_encoder(), torch.randn(2, 3, 4, 16, 16)
    keep = torch.tensor([[0, 3, 5], [1, 2, 7]])
    with torch.no_grad():
        expected = encoder(video), encoder(video, keep)
        encoder.transformer.compile_blocks()
        actual = encoder(video), encoder(video, keep)
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)


def test_a_run_compiles_all_blocks_of_all_networks(tiny_config):
    """The target encoder too, which is half of the FLOPs of a large model."""
    objective = build.build_objective(build.Resolved(tiny_config("run", "--train.compile=true")))
    for name in ("encoder", "predictor", "target_encoder"):
        blocks = getattr(objective, name).transformer.blocks
        assert [block._compiled_call_impl is not None for block in blocks] == [True] * len(blocks), name
    plain = build.build_objective(build.Resolved(tiny_config("run", "--train.activation_checkpointing=true")))
    assert all(block._compiled_call_impl is None for block in plain.encoder.transformer.blocks)
    assert plain.encoder.transformer.grad_checkpointing
