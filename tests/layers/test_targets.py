"""Prediction targets against torch's norms and data2vec's rule; statistics do not depend on micro-batches."""

import pytest
import torch
from torch.nn import functional as F

from vjepa.layers.targets import PredictionTargets
from vjepa.models.encoder import VideoEncoder

DIM = 24


class Tokens(torch.nn.Module):
    """Stands for an encoder: its "video" is its tokens, and its blocks add 1, 2 and 3 to them."""

    def forward(self, tokens_BNY, *, levels):
        assert levels
        return tokens_BNY

    def forward_intermediates(self, tokens_BND, indices):
        return tokens_BND, [tokens_BND * block for block in (1, 2, 3)][-indices:]


def tokens(clips=6, levels=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    scale = torch.linspace(0.5, 3, levels * DIM)
    return 3 + scale * torch.randn(clips, 7, levels * DIM, generator=generator)


def test_layer_norm_is_torch_s_on_each_level():
    found = PredictionTargets("layer_norm", DIM, levels=2)(Tokens(), tokens(levels=2))
    assert torch.equal(found[0], tokens(levels=2)[..., DIM:])
    expected = [F.layer_norm(level, (DIM,)) for level in tokens(levels=2).split(DIM, dim=-1)]
    torch.testing.assert_close(found[1], torch.cat(expected, dim=-1))


def test_after_a_step_the_batch_norm_is_torch_s_of_that_batch():
    targets, batch = PredictionTargets("batch", DIM), tokens()
    first = targets(Tokens(), batch)[1]
    torch.testing.assert_close(first, batch / (1 + 1e-5) ** 0.5)  # nothing is known before the first step
    targets.update()
    expected = F.batch_norm(batch.transpose(1, 2), None, None, training=True).transpose(1, 2)
    torch.testing.assert_close(targets(Tokens(), batch)[1], expected, rtol=1e-4, atol=1e-5)


def test_running_statistics_are_means_over_steps_in_which_later_ones_weigh_more():
    targets, batches = PredictionTargets("batch", DIM), [tokens(seed=seed) for seed in range(4)]
    for batch in batches:
        targets(Tokens(), batch)
        targets.update()
    weights = [0.9 ** (3 - step) for step in range(4)]
    mean = sum(w * x.mean(dim=(0, 1)) for w, x in zip(weights, batches, strict=True)) / sum(weights)
    spread = sum(w * x.var(dim=(0, 1), correction=0) for w, x in zip(weights, batches, strict=True))
    torch.testing.assert_close(targets.mean_Y, mean, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(targets.variance_Y, spread / sum(weights), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_statistics_do_not_depend_on_the_micro_batches(size):
    whole, parts = PredictionTargets("batch", DIM), PredictionTargets("batch", DIM)
    for seed in range(3):
        whole(Tokens(), tokens(seed=seed))
        for part in tokens(seed=seed).split(size):
            parts(Tokens(), part)
        whole.update()
        parts.update()
    torch.testing.assert_close(parts.mean_Y, whole.mean_Y)
    torch.testing.assert_close(parts.variance_Y, whole.variance_Y)


def test_what_is_common_to_all_clips_is_gone_from_batch_targets_alone():
    common = 5 * torch.randn(DIM, generator=torch.Generator().manual_seed(1))
    batch, kept = tokens() - 3 + common, {}
    for norm in ("layer_norm", "batch"):
        targets = PredictionTargets(norm, DIM)
        targets(Tokens(), batch)
        targets.update()
        kept[norm] = targets(Tokens(), batch)[1].mean(dim=(0, 1)).abs().mean()
    assert kept["layer_norm"] > 0.5
    assert kept["batch"] < 1e-4


def test_nothing_is_collected_in_evaluation():
    targets = PredictionTargets("batch", DIM).eval()
    targets(Tokens(), tokens())
    targets.update()
    assert targets.updates == 0


@pytest.mark.parametrize("norm", ["layer_norm", "batch"])
def test_several_blocks_are_averaged_as_in_data2vec(norm):
    """data2vec 2.0 normalises each block's output, then adds them up and divides by their number."""
    torch.manual_seed(0)
    encoder = VideoEncoder(embed_dim=24, depth=4, num_heads=2, tubelet=(2, 8, 8)).eval()
    targets, video = PredictionTargets(norm, DIM, blocks=3), torch.randn(5, 3, 4, 16, 16)
    targets(encoder, video)
    targets.update()
    embedding, found = targets(encoder, video)
    with torch.no_grad():
        outputs = encoder.forward_intermediates(video)[1][-3:]
        if norm == "layer_norm":
            normed = [F.layer_norm(output, (DIM,)) for output in outputs]
        else:
            normed = [
                F.batch_norm(output.transpose(1, 2), None, None, training=True).transpose(1, 2)
                for output in outputs
            ]
    torch.testing.assert_close(found, sum(normed) / 3, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(embedding, encoder(video))


def test_predictions_are_restored_on_the_scale_of_the_context():
    batch = 3 + 2 * torch.randn(2, 7, 2 * DIM, generator=torch.Generator().manual_seed(0))
    layered = PredictionTargets("layer_norm", DIM, levels=2)
    restored = layered.restore(layered(Tokens(), batch)[1], batch)
    gap = restored.unflatten(-1, (2, DIM)).mean(dim=(1, 3)) - batch.unflatten(-1, (2, DIM)).mean(dim=(1, 3))
    assert gap.abs().max() < 1e-4
    assert F.cosine_similarity(restored, batch, dim=-1).mean() > 0.98
    for norm in ("batch", "none"):
        exact = PredictionTargets(norm, DIM, levels=2)
        exact(Tokens(), batch)
        exact.update()
        torch.testing.assert_close(exact.restore(exact(Tokens(), batch)[1], batch), batch)


def test_what_cannot_be_restored_is_refused():
    averaged = PredictionTargets("layer_norm", DIM, blocks=2)
    with pytest.raises(ValueError, match="averages of 2 blocks"):
        averaged.restore(tokens(), tokens())
    with pytest.raises(ValueError, match="width 24 and the encoder's tokens 48"):
        PredictionTargets("layer_norm", DIM).restore(tokens(), tokens(levels=2))


@pytest.mark.parametrize(("norm", "levels"), [("none", 1), ("layer_norm", 2)])
def test_blocks_need_a_norm_and_one_level(norm, levels):
    with pytest.raises(ValueError, match="one level"):
        PredictionTargets(norm, DIM, levels=levels, blocks=2)
