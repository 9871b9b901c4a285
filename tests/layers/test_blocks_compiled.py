import shutil

import pytest
import torch

from tests.models.builders import small_encoder


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
