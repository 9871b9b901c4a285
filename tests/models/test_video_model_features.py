"""Features by timm's names."""

import torch

from tests.inference.conftest import make_video_model


def test_features_are_the_encoder_s_and_lie_on_its_grid():
    model = make_video_model(0)
    video = torch.randint(0, 256, (2, 6, 3, 16, 32), dtype=torch.uint8)
    with torch.no_grad():
        tokens = model.encode(video)
        assert torch.equal(model.forward_features(video), tokens)
        final, (first, last) = model.forward_intermediates(video, [0, 2], norm=True)
        assert torch.equal(last, tokens)
        assert torch.equal(final, tokens)
        _, (raw,) = model.forward_intermediates(video, [2])
        assert torch.equal(model.encoder.transformer.norm(raw), tokens)
        maps = model.feature_maps(video, [0, -1])
    assert [tuple(part.shape) for part in maps] == [(2, 3, 2, 4, 24)] * 2
    assert torch.equal(maps[0].flatten(1, 3), first)
    assert torch.equal(maps[1][:, 1, 0, 3], tokens[:, (1 * 2 + 0) * 4 + 3])
