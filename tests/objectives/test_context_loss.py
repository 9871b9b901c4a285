"""V-JEPA 2.1's loss at the context and its levels, against what the paper says, token by token."""

import copy
import math

import pytest
import torch

from tests.objectives.builders import small_batch
from vjepa.batch import Batch
from vjepa.layers.pixels import PixelNormalizer
from vjepa.models.encoder import VideoEncoder
from vjepa.models.predictor import Predictor
from vjepa.objectives.context_loss import ContextLoss, distance_to_hidden
from vjepa.objectives.jepa import JEPA

LEVELS = (0, 2)
WIDTH = 36


def deep_jepa(context_loss, image_tokenizer=False):
    torch.manual_seed(0)
    encoder = VideoEncoder(
        embed_dim=WIDTH,
        depth=3,
        num_heads=3,
        tubelet=(2, 8, 8),
        levels=LEVELS,
        image_tokenizer=image_tokenizer,
    )
    predictor = Predictor(
        in_dim=2 * WIDTH, out_dim=2 * WIDTH, embed_dim=24, depth=1, num_heads=2, num_mask_tokens=2,
        hidden_dim=WIDTH, predict_context=True,
    )  # fmt: skip
    return JEPA(
        encoder=encoder, predictor=predictor, normalizer=PixelNormalizer(),
        target_encoder=copy.deepcopy(encoder), momentum=lambda _: 0.9, context_loss=context_loss,
    )  # fmt: skip


def place(token):
    """On the grid of `small_batch`, 4 x 3 x 3."""
    return token // 9, token // 3 % 3, token % 3


def normalised(level):
    return (level - level.mean()) / (level.var(unbiased=False) + 1e-5).sqrt()


def reference_loss(jepa, batch, weight):
    video = jepa.normalizer(batch.video_BTCHW)
    grid = jepa.encoder.grid_of(video)
    targets = jepa.target_encoder(video, levels=True).split(WIDTH, dim=-1)
    total = []
    for mask in batch.masks:
        seen, hidden = [], []
        tokens = jepa.encoder(video, mask.context_BK, levels=True)
        both = jepa.predictor(
            tokens, mask.context_BK, mask.target_BM, grid, mask.mask_token, predict_context=True
        )
        at_context, predicted = both.tensor_split([mask.context_BK.shape[1]], dim=1)
        for clip in range(len(video)):
            wanted = [torch.cat([normalised(level[clip, n]) for level in targets]) for n in range(36)]
            holes = mask.target_BM[clip].tolist()
            for n, prediction in zip(holes, predicted[clip], strict=True):
                hidden.append((prediction - wanted[n]).abs().mean())
            for n, prediction in zip(mask.context_BK[clip].tolist(), at_context[clip], strict=True):
                nearest = min(math.dist(place(n), place(hole)) for hole in holes)
                seen.append((prediction - wanted[n]).abs().mean() / math.sqrt(nearest))
        total.append(torch.stack(hidden).mean() + weight * torch.stack(seen).mean())
    return torch.stack(total).mean()


@pytest.mark.parametrize(("step", "weight"), [(0, 0.0), (100, 0.0), (150, 0.25), (200, 0.5), (10_000, 0.5)])
def test_the_loss_is_the_paper_s_and_warms_in(step, weight):
    jepa, batch = deep_jepa(ContextLoss(0.5, (100, 200))), small_batch()
    batch = Batch(batch.video_BTCHW, batch.masks, batch.labels_B, batch.paths, step=step)
    with torch.no_grad():
        torch.testing.assert_close(
            jepa(batch)["loss"], reference_loss(jepa, batch, weight), atol=1e-5, rtol=1e-5
        )


def test_gradients_reach_every_trained_parameter():
    jepa, batch = deep_jepa(ContextLoss(0.5, (0, 0))), small_batch()
    jepa(batch)["loss"].backward()
    for name, parameter in jepa.named_parameters():
        if not name.startswith("target_encoder"):
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


def test_a_visible_token_is_at_least_one_away():
    mask = small_batch().masks[0]
    encoder = VideoEncoder(embed_dim=12, depth=1, num_heads=1, tubelet=(2, 8, 8))
    assert distance_to_hidden(mask, encoder.tubelet.grid_of(8, 24, 24)).min() >= 1


def test_images_have_a_tokenizer_of_their_own():
    encoder = deep_jepa(None, image_tokenizer=True).encoder
    frame = torch.randn(2, 3, 1, 24, 24)
    still = frame.expand(-1, -1, 2, -1, -1)
    assert encoder(frame).shape == encoder(still).shape == (2, 9, WIDTH)
    before = encoder(still)
    with torch.no_grad():
        encoder.image_embed.proj.weight.add_(1)
        encoder.modality_tokens[1].add_(1)
    assert torch.equal(encoder(still), before)
    assert not torch.allclose(encoder(frame), before)


def test_levels_are_normalised_tokens_of_their_blocks():
    encoder = deep_jepa(None).encoder.eval()
    video = torch.randn(2, 3, 8, 24, 24)
    first, last = encoder(video, levels=True).split(WIDTH, dim=-1)
    assert torch.equal(last, encoder(video))
    torch.testing.assert_close(first.mean(dim=-1), torch.zeros(2, 36), atol=1e-5, rtol=0)
    with torch.no_grad():
        encoder.transformer.blocks[1].mlp.fc1.weight.zero_()
    assert torch.equal(encoder(video, levels=True)[..., :WIDTH], first)


@pytest.mark.parametrize("levels", [(2, 0), (0, 1), (0, 0, 2), (-1, 2)])
def test_levels_that_make_no_sense_are_refused(levels):
    with pytest.raises(ValueError, match="ascend to 2"):
        VideoEncoder(embed_dim=12, depth=3, num_heads=1, levels=levels)
