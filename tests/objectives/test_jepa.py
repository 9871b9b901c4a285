import copy
from dataclasses import replace

import pytest
import torch

from tests.objectives.builders import assert_gradients_of_halves_add_up, small_batch, small_jepa
from vjepa.objectives.batch_metric import of_whole_batch


def reference_loss(jepa, batch, distance):
    """The papers' loss, one clip, one mask and one token at a time."""
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    seen = batch.video_BTCHW if batch.target_video_BTCHW is None else batch.target_video_BTCHW
    video, target_video = (
        ((frames.float() / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1)).transpose(1, 2)
        for frames in (batch.video_BTCHW, seen)
    )
    per_mask = []
    for number, mask in enumerate(batch.masks):
        errors = []
        for clip in range(len(video)):
            target = jepa.target_encoder(target_video[clip : clip + 1])[0]
            context = mask.context_BK[clip : clip + 1]
            tokens = jepa.encoder(video[clip : clip + 1], context)
            predicted = jepa.predictor(
                tokens, context, mask.target_BM[clip : clip + 1], jepa.encoder.grid_of(video), number
            )
            for place, token in zip(mask.target_BM[clip].tolist(), predicted[0], strict=True):
                wanted = target[place]
                wanted = (wanted - wanted.mean()) / (wanted.var(unbiased=False) + 1e-5).sqrt()
                errors.append(distance(token - wanted).mean())
        per_mask.append(torch.stack(errors).mean())
    return torch.stack(per_mask).mean()


@pytest.mark.parametrize(
    ("name", "distance"),
    [
        ("l1", torch.abs),  # V-JEPA
        ("smooth_l1", lambda d: torch.where(d.abs() < 1, d**2 / 2, d.abs() - 0.5)),  # I-JEPA
        ("l2", torch.square),
    ],
)
def test_loss_is_the_papers(name, distance):
    jepa, batch = small_jepa(distance=name), small_batch()
    torch.testing.assert_close(
        jepa(batch)["loss"], reference_loss(jepa, batch, distance), atol=1e-5, rtol=1e-5
    )


def test_targets_are_of_the_video_that_the_target_encoder_sees():
    jepa, batch = small_jepa(), small_batch()
    other = replace(batch, target_video_BTCHW=small_batch(seed=1).video_BTCHW)
    loss = jepa(other)["loss"]
    torch.testing.assert_close(loss, reference_loss(jepa, other, torch.abs), atol=1e-5, rtol=1e-5)
    assert abs(loss - jepa(batch)["loss"]) > 1e-3
    same = replace(batch, target_video_BTCHW=batch.video_BTCHW)
    assert torch.equal(jepa(same)["loss"], jepa(batch)["loss"])


def test_of_a_frozen_encoder_the_predictor_alone_is_trained_on_its_own_tokens():
    jepa = small_jepa(momentum=None, target_encoder=None, frozen_encoder=True, drop_path=0.5).train()
    batch = small_batch()
    video = jepa.normalizer(batch.video_BTCHW)
    tokens = jepa.encoder(video)
    assert torch.equal(tokens, jepa.encoder(video)), "a path was dropped"
    targets = jepa.forward_target(video)[1]
    torch.testing.assert_close(targets, torch.nn.functional.layer_norm(tokens, (36,)))
    jepa(batch)["loss"].backward()
    jepa.after_step(1)
    assert {name for name, value in jepa.named_parameters() if value.grad is not None} == {
        name for name, _ in jepa.named_parameters() if name.startswith("predictor.")
    }


def test_gradient_of_two_halves_is_that_of_the_whole():
    assert_gradients_of_halves_add_up(small_jepa(), small_batch(clips=4))


def test_gradients_reach_all_trained_parts_and_never_the_target():
    jepa = small_jepa()
    jepa(small_batch())["loss"].backward()
    for name, parameter in jepa.named_parameters():
        if name.startswith("target_encoder"):
            assert parameter.grad is None, name
        else:
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


def test_target_encoder_is_an_exponential_average():
    jepa = small_jepa(momentum=0.9)
    before = copy.deepcopy(jepa.target_encoder.state_dict())
    with torch.no_grad():
        for parameter in jepa.encoder.parameters():
            parameter.add_(torch.randn_like(parameter))
    jepa.after_step(1)
    for name, value in jepa.target_encoder.state_dict().items():
        expected = 0.9 * before[name] + 0.1 * jepa.encoder.state_dict()[name]
        torch.testing.assert_close(value, expected)


@pytest.mark.parametrize(("momentum", "moves"), [(1.0, False), (0.0, True)])
def test_momentum_at_its_ends(momentum, moves):
    jepa = small_jepa(momentum=momentum)
    with torch.no_grad():
        jepa.encoder.patch_embed.proj.bias.add_(1)
    before = jepa.target_encoder.patch_embed.proj.bias.clone()
    jepa.after_step(1)
    after = jepa.target_encoder.patch_embed.proj.bias
    assert torch.equal(after, jepa.encoder.patch_embed.proj.bias if moves else before)


def test_target_encoder_never_drops_paths():
    jepa = small_jepa(drop_path=0.5).train()
    video = torch.randn(2, 3, 8, 24, 24)
    assert torch.equal(jepa.forward_target(video)[1], jepa.forward_target(video)[1])
    assert not torch.equal(jepa.encoder(video), jepa.encoder(video))


def test_predicting_the_mean_has_relative_error_one():
    """With targets that are equal up to clips' own differences and a predictor that gives their mean."""
    jepa, batch = small_jepa(), small_batch()
    video = jepa.normalizer(batch.video_BTCHW)
    _, target = jepa.forward_target(video)

    def mean_of_targets(tokens, context, places, grid, *_, **__):
        return target.mean(dim=0)[places] + 0 * tokens.sum()

    jepa.predictor.forward = mean_of_targets
    assert of_whole_batch([jepa(batch)["relative_error"]], lambda means: means).item() == pytest.approx(1)
