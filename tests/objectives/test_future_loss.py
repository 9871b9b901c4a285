"""Losses of future masks: chained predictions, and weights by change."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from tests.objectives.builders import assert_gradients_of_halves_add_up, small_batch, small_jepa
from vjepa.batch import TokenMask
from vjepa.grid import Grid
from vjepa.layers.targets import PredictionTargets
from vjepa.models.predictor import Predictor
from vjepa.objectives.batch_metric import of_whole_batch
from vjepa.objectives.distances import DISTANCES
from vjepa.objectives.future_loss import FutureLoss

GRID = Grid(4, 1, 2)
MASK = TokenMask(torch.arange(4).expand(2, -1), torch.arange(4, 8).expand(2, -1), mask_token=1)


class AddsOne(nn.Module):
    """Predicts, at every target, the last time step that it is shown plus 1."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, tokens_BKD, context_BK, target_BM, grid, mask_token, targets, copied_BKD=None):
        assert tokens_BKD.shape[:2] == context_BK.shape
        self.seen.append((context_BK[0].tolist(), target_BM[0].tolist(), mask_token))
        return (tokens_BKD[:, -2:] + 1).repeat(1, target_BM.shape[1] // 2, 1)


def counting_tokens(step=1.0):
    """Tokens of 2 clips whose values are the index of their time step times `step`, ``(2, 8, 3)``."""
    return (torch.arange(4).repeat_interleave(2) * step).view(1, 8, 1).expand(2, -1, 3)


def chained(true_BNY, mask=MASK, rollout_steps=1):
    predictor, targets = AddsOne(), PredictionTargets("none", 3)
    context_BKY = true_BNY[:, :4]
    first_BMY = predictor(context_BKY, mask.context_BK, mask.target_BM, GRID, 1, targets)
    error = FutureLoss({1}, rollout_steps=rollout_steps).rollout_error(
        predictor, targets, context_BKY, first_BMY, true_BNY, mask, GRID, DISTANCES["l1"]
    )
    return error, predictor.seen


def test_the_second_prediction_follows_from_the_first():
    """The first prediction of step 3 is wrong by 1: only a context with the predicted step 2 gives 3."""
    error, seen = chained(counting_tokens())
    assert error == 0
    assert seen == [([0, 1, 2, 3], [4, 5, 6, 7], 1), ([0, 1, 2, 3, 4, 5], [6, 7], 1)]


def test_its_error_is_against_the_true_targets():
    assert chained(counting_tokens(step=3.0))[0] == pytest.approx(9 - (3 + 1 + 1))


def test_a_mask_has_as_many_chained_predictions_as_time_steps_after_its_first_target():
    assert len(chained(counting_tokens(), rollout_steps=5)[1]) == 2
    short = replace(MASK, target_BM=MASK.target_BM[:, :2])
    assert chained(counting_tokens(), short)[0] is None
    assert chained(counting_tokens(), replace(MASK, mask_token=0))[0] is None


def test_weights_follow_the_change_since_the_context_and_have_mean_one():
    true_BNY = torch.zeros(2, 8, 3)
    true_BNY[:, [0, 2]] = 5.0  # place 0 is at 5 in the context,
    true_BNY[:, 4] = 8.0  # then at 8,
    true_BNY[:, 6] = 4.0  # then at 4; place 1 stays
    weights_BM = FutureLoss({1}, change_weight=0.5).weights(true_BNY, MASK, GRID)
    expected_M = 0.5 + 0.5 * torch.tensor([3.0, 0.0, 1.0, 0.0])
    torch.testing.assert_close(weights_BM, expected_M.expand(2, -1), atol=1e-4, rtol=1e-4)


def test_a_clip_without_change_has_equal_weights():
    weights_BM = FutureLoss({1}, change_weight=1.0).weights(torch.ones(2, 8, 3), MASK, GRID)
    torch.testing.assert_close(weights_BM, torch.ones(2, 4))


def future_batch(clips=3):
    """The small batch with a mask of all its first two time steps, as mask token 1."""
    batch = small_batch(clips)
    index_BN = torch.arange(36).expand(clips, -1)
    return replace(batch, masks=(batch.masks[0], TokenMask(index_BN[:, :18], index_BN[:, 18:], 1)))


def test_losses_of_other_masks_stay_the_same():
    batch = future_batch()
    others = replace(batch, masks=batch.masks[:1])
    changed = small_jepa(future_loss=FutureLoss({1}, change_weight=0.7, rollout_steps=1))
    assert torch.equal(changed(others)["loss"], small_jepa()(others)["loss"])
    assert "rollout_loss" not in changed(others)
    outputs, plain = changed(batch), small_jepa()(batch)
    assert outputs["loss"] > outputs["rollout_loss"] > 0
    error, same = (of_whole_batch([each["relative_error"]], lambda part: part) for each in (outputs, plain))
    assert torch.equal(error, same)


def test_gradient_of_two_halves_is_that_of_the_whole():
    jepa = small_jepa(future_loss=FutureLoss({1}, change_weight=0.5, rollout_steps=1))
    assert_gradients_of_halves_add_up(jepa, future_batch(clips=4))


def test_a_residual_predictor_adds_to_what_the_target_encoder_saw():
    """The untrained one predicts a copy of it, wherever the trained encoder has gone meanwhile."""
    jepa, batch = small_jepa(), future_batch()
    torch.manual_seed(1)
    jepa.predictor = Predictor(
        in_dim=36, out_dim=36, embed_dim=24, depth=1, num_heads=2, num_mask_tokens=2, residual=True
    )
    with torch.no_grad():
        for parameter in jepa.encoder.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    batch = replace(batch, masks=batch.masks[1:])
    video = jepa.normalizer(batch.video_BTCHW)
    norm = partial(torch.nn.functional.layer_norm, normalized_shape=(36,))
    context = batch.masks[0].context_BK
    last = norm(jepa.target_encoder(video, context))[:, -9:]  # 3 x 3 places
    truth = norm(jepa.target_encoder(video))[:, 18:]
    expected = (torch.cat([last, last], dim=1) - truth).abs().mean()
    torch.testing.assert_close(jepa(batch)["loss"], expected)
