"""Networks in lower precision: results near those in float32, in float32, and only where it was asked for."""

import pytest
import torch

from tests.inference.conftest import make_video_model
from tests.models.builders import small_encoder
from vjepa.inference.causal_stream import CausalStream
from vjepa.inference.forecast import encode_context, roll_out, window_of
from vjepa.models.network import set_precision

BOUNDS = {"bf16": 0.02, "fp16": 0.003}  # 2.5 times the spacing of bfloat16's numbers near 1, and of half's


def relative(found, exact):
    return ((found - exact).norm() / exact.norm()).item()


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_features_and_predictions_are_near_those_in_float32(precision):
    model = make_video_model()
    video = torch.randint(0, 256, (2, 16, 3, 16, 16), dtype=torch.uint8)
    window = window_of(model, 16, 16)

    def results():
        context = encode_context(model, video[:, : window.context_steps * model.encoder.tubelet.t])
        return [
            model.encode(video),
            model.embed_targets(video),
            *model.forward_intermediates(video)[1],
            context,
            roll_out(model, context, window, 2),
        ]

    with torch.no_grad():
        exact = results()
        set_precision(model, precision)
        rounded = results()
        set_precision(model, "no")
        again = results()
    for value, found, same in zip(exact, rounded, again, strict=True):
        assert found.dtype == torch.float32
        assert 0 < relative(found, value) < BOUNDS[precision]
        assert torch.equal(same, value)


def test_a_stream_is_the_clip_in_lower_precision_too():
    encoder = small_encoder(causal=True)
    video = torch.randn(1, 3, 8, 16, 16)
    with torch.no_grad():
        exact = encoder(video)
    set_precision(encoder, "bf16")
    stream = CausalStream(encoder, 4)
    tokens = torch.cat([stream.step(video[:, :, t : t + 2]) for t in range(0, 8, 2)], dim=1)
    assert tokens.dtype == torch.float32
    assert 0 < relative(tokens, exact) < BOUNDS["bf16"]


def test_a_precision_that_there_is_not_is_refused_at_once():
    encoder = small_encoder()
    with pytest.raises(ValueError, match="precision is 'half': give one of no, bf16, fp16"):
        set_precision(encoder, "half")
    assert encoder.precision == "no"
