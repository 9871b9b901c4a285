"""The loss of LeVJEPA against a plain reference, and what it finds in good and in collapsed embeddings."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from tests.objectives.builders import small_batch, small_views, views_batch
from vjepa.batch import ViewGroup
from vjepa.objectives.batch_metric import of_whole_batch

MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


def reference_embeddings(objective, batch):
    """Each view of each clip by itself: a list of views for every clip."""
    found = []
    for clip in range(len(batch.paths)):
        views = []
        for group in batch.views:
            for view, frames in enumerate(group.video_BvTCHW[clip]):
                pixels = (frames.float() / 255 - MEAN.view(3, 1, 1)) / STD.view(3, 1, 1)
                tokens = objective.encoder(pixels.transpose(0, 1)[None])[0]
                if group.keep_BvK is not None:
                    kept = group.keep_BvK[clip, view][None]
                    tokens = objective.encoder(pixels.transpose(0, 1)[None], kept)[0]
                views.append(torch.stack(list(tokens)).sum(dim=0) / len(tokens))
        found.append(views)
    return found


def reference_projector(projector):
    """The same weights in torch's own layers, whose normalisation takes the statistics of its batch."""
    layers = []
    for linear, scale, shift in zip(projector.linear, projector.scale, projector.shift, strict=True):
        norm = nn.BatchNorm1d(len(scale))
        norm.weight.data, norm.bias.data = scale.data, shift.data
        layers += [linear, norm, nn.ReLU()]
    return nn.Sequential(*layers, projector.last).train()


def reference_sigreg(values, directions=8, step=3):
    """The Epps-Pulley statistic of each view and direction, one frequency and one clip at a time."""
    clips, views, dim = len(values), len(values[0]), len(values[0][0])
    axes = torch.randn(dim, directions, generator=torch.Generator().manual_seed(step))
    total = 0.0
    for view in range(views):
        for axis in (axes / axes.norm(dim=0)).T:
            points = [
                float(sum(a * b for a, b in zip(values[clip][view], axis, strict=True)))
                for clip in range(clips)
            ]
            heights = []
            for number in range(33):
                t = -3 + 6 * number / 32
                real = sum(math.cos(t * x) for x in points) / clips - math.exp(-t * t / 2)
                imaginary = sum(math.sin(t * x) for x in points) / clips
                heights.append((real**2 + imaginary**2) * math.exp(-t * t / 2))
            total += clips * 6 / 32 * (sum(heights) - (heights[0] + heights[-1]) / 2)
    return total / views / directions


@pytest.mark.parametrize("num_global", [1, 2])
@pytest.mark.parametrize("keep", [None, 5])
@pytest.mark.parametrize("projected", [False, True])
@torch.no_grad()
def test_the_loss_is_the_papers(num_global, keep, projected):
    objective = small_views(projected).eval()
    batch = views_batch(clips=5, num_global=num_global, keep=keep)
    values = torch.stack([torch.stack(views) for views in reference_embeddings(objective, batch)])
    if projected:
        values = reference_projector(objective.projector)(values.flatten(0, 1)).unflatten(0, (5, -1))
    squares = []
    for views in values:
        centre = sum(views[:num_global]) / num_global
        squares += [float((value - centre[i]) ** 2) for view in views for i, value in enumerate(view)]
    outputs = objective(batch)
    assert outputs["invariance"].item() == pytest.approx(sum(squares) / len(squares), rel=1e-4)
    assert outputs["sigreg"].item() == pytest.approx(0.1 * reference_sigreg(values.tolist()), rel=1e-3)
    torch.testing.assert_close(outputs["loss"], outputs["invariance"] + outputs["sigreg"])
    whole = torch.stack(
        [sum(views[:num_global]) / num_global for views in reference_embeddings(objective, batch)]
    )
    torch.testing.assert_close(outputs["target_BD"], whole, atol=1e-5, rtol=1e-4)


def test_the_class_token_is_the_embedding_where_there_is_one():
    objective, batch = small_views(class_token=True).eval(), views_batch()
    video = objective.normalizer(batch.video_BTCHW)
    torch.testing.assert_close(
        objective(batch)["target_BD"], objective.encoder(video, class_token=True)[:, 0].detach()
    )


def test_pixels_of_dropped_tokens_do_not_count():
    objective, batch = small_views().eval(), views_batch(keep=4)
    kept = batch.views[0].keep_BvK
    dropped = [[sorted(set(range(36)) - set(view.tolist())) for view in clip] for clip in kept]
    video = batch.views[0].video_BvTCHW.clone()
    for clip, views in enumerate(dropped):
        for view, places in enumerate(views):
            for place in places:
                t, row, column = place // 9, place // 3 % 3, place % 3
                video[
                    clip, view, 2 * t : 2 * t + 2, :, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8
                ] = 0
    black = replace(batch, views=(ViewGroup(video, kept), batch.views[1]))
    assert not torch.equal(video, batch.views[0].video_BvTCHW)
    assert torch.equal(objective(black)["loss"], objective(batch)["loss"])


def test_gradients_reach_all_parts_through_every_view():
    objective, batch = small_views(), views_batch()
    objective(batch)["loss"].backward()
    for name, parameter in objective.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def relative_error(outputs):
    return of_whole_batch([outputs["relative_error"]], lambda means: means).item()


def test_equal_views_have_no_invariance_loss_and_equal_clips_a_large_statistic():
    objective, batch = small_views(projected=False, weight=1.0).eval(), views_batch(clips=32, num_local=0)
    video = batch.video_BTCHW[:, None].expand(-1, 3, -1, -1, -1, -1)
    same_views = objective(replace(batch, views=(ViewGroup(video),)))
    assert same_views["invariance"].item() == pytest.approx(0, abs=1e-9)
    assert relative_error(same_views) == pytest.approx(0, abs=1e-6)
    same_clips = objective(replace(batch, views=(ViewGroup(video[:1].expand(32, -1, -1, -1, -1, -1)),)))
    # A point instead of a normal distribution; of 32 samples of which, the statistic is some .5.
    assert same_clips["sigreg"] > 10


def test_views_of_other_clips_are_worse_than_the_mean_of_all():
    objective, batch = small_views(projected=False).eval(), views_batch(clips=16, num_local=0)
    video = batch.video_BTCHW
    near = (video.int() + 1).clamp(max=255).to(torch.uint8)
    of_same, of_other = (
        relative_error(
            objective(replace(batch, views=(ViewGroup(video[:, None]), ViewGroup(other[:, None]))))
        )
        for other in (near, near.roll(1, dims=0))
    )
    assert of_same < 0.1
    # Half the views are the centre itself; the others are twice as far as the mean of all clips.
    assert of_other == pytest.approx(1, abs=0.2)


def test_a_batch_without_views_is_refused():
    with pytest.raises(ValueError, match="no views of its clips"):
        small_views()(small_batch())
