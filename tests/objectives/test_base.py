"""One contract over all objectives, and what breaks it is found."""

from dataclasses import replace

import pytest
import torch
from torch import nn

import vjepa.objectives
from tests.models.builders import A, Q, make_model
from tests.objectives.builders import (
    futures_batch,
    futures_jepa,
    small_autoencoder,
    small_batch,
    small_jepa,
    small_views,
    views_batch,
)
from tests.package_classes import public_classes
from vjepa.batch import LabelledBatch, TrajectoryBatch
from vjepa.layers.pixels import PixelNormalizer
from vjepa.models.classifier import Classifier, build_head
from vjepa.models.encoder import VideoEncoder
from vjepa.objectives.action_jepa import ActionJEPA
from vjepa.objectives.classification import Classification
from vjepa.objectives.regularizers import SIGReg, VICReg
from vjepa.testing import check_objective

CLIPS = 4


def classification():
    encoder = VideoEncoder(embed_dim=36, depth=1, num_heads=3, tubelet=(2, 8, 8))
    return Classification(Classifier(encoder, build_head("linear", 36, 3), PixelNormalizer()))


def labelled_batch():
    video = small_batch(CLIPS).video_BTCHW
    return LabelledBatch(video, torch.eye(3)[torch.arange(CLIPS) % 3], paths=("",) * CLIPS)


def trajectories():
    generator = torch.Generator().manual_seed(0)
    video = torch.randint(0, 256, (CLIPS, 5, 3, 16, 24), dtype=torch.uint8, generator=generator)
    actions, states = (
        torch.randn(CLIPS, 4, A, generator=generator),
        torch.randn(CLIPS, 5, Q, generator=generator),
    )
    return TrajectoryBatch(video, actions, states, ("",) * CLIPS)


def separate_batch():
    return replace(small_batch(CLIPS), target_video_BTCHW=small_batch(CLIPS, seed=1).video_BTCHW)


OBJECTIVES = {
    "jepa": (small_jepa, lambda: small_batch(CLIPS), False),
    "separate": (small_jepa, separate_batch, False),
    "frozen": (lambda: small_jepa(momentum=None), lambda: small_batch(CLIPS), False),
    "futures": (futures_jepa, lambda: futures_batch(CLIPS), False),
    "pixels": (small_autoencoder, lambda: small_batch(CLIPS), False),
    "sigreg": (
        lambda: small_jepa(
            momentum=None, target_encoder=None, regularizers=[SIGReg(weight=0.1, directions=8, places=4)]
        ),
        lambda: small_batch(CLIPS),
        True,
    ),
    "vicreg": (
        lambda: small_jepa(
            momentum=None,
            target_encoder=None,
            regularizers=[VICReg(variance=1.0, covariance=0.1, predictions=1.0)],
        ),
        lambda: small_batch(CLIPS),
        True,
    ),
    "views": (small_views, lambda: views_batch(CLIPS, num_global=2, keep=5), True),
    "action": (
        lambda: ActionJEPA(model=make_model(window=8), frozen=True, distance="l1"),
        trajectories,
        False,
    ),
    "classification": (classification, labelled_batch, False),
}


def test_every_objective_is_here():
    """A new objective joins this contract, or this test fails."""
    modules = {kind for kind in public_classes(vjepa.objectives) if issubclass(kind, nn.Module)}
    found = {kind for kind in modules if hasattr(kind, "after_step")}
    assert found == {type(build()) for build, _, _ in OBJECTIVES.values()}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_keeps_its_promises(name):
    build, batch, measures_batch = OBJECTIVES[name]
    check_objective(build(), batch(), measures_batch=measures_batch)


class Broken(nn.Module):
    """A linear map of the mean pixel, which breaks one promise."""

    def __init__(self, broken):
        super().__init__()
        self.broken, self.calls = broken, 0
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, batch):
        self.calls += 1
        value_B = batch.video_BTCHW.flatten(1).float().mean(dim=1) * self.weight
        loss = value_B.mean()
        if self.broken == "no loss":
            return {"error": loss}
        if self.broken == "counts its calls":
            loss = loss * self.calls
        if self.broken == "no mean":
            loss = value_B.sum()
        if self.broken == "doubles":
            loss = value_B.double().mean().float()
        if self.broken == "no gradient":
            loss = loss.detach()
        if self.broken == "a ratio":
            return {"loss": loss, "ratio": value_B.std() / value_B.mean()}
        if self.broken == "a vector":
            return {"loss": loss, "each": value_B}
        if self.broken == "the wrong device" and batch.video_BTCHW.is_meta:
            loss = torch.ones((), requires_grad=True)
        return {"loss": loss}

    def after_step(self, step):
        if self.broken == "freezes":
            self.weight.requires_grad_(False)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("no loss", "it must have 'loss'"),
        ("counts its calls", "depend only on the batch"),
        ("no mean", "loss is .* of its two halves"),
        ("a ratio", "ratio is .* a BatchMetric"),
        ("doubles", "returns a float64 tensor"),
        ("no gradient", "no gradient"),
        ("a vector", "each has shape"),
        ("freezes", "changes which parameters are trained"),
        ("the wrong device", "on the meta device"),
    ],
)
def test_a_broken_promise_is_named(broken, message):
    with pytest.raises(AssertionError, match=message):
        check_objective(Broken(broken), small_batch(CLIPS))
    check_objective(Broken(None), small_batch(CLIPS))


@pytest.mark.parametrize("clips", [2, 5])
def test_a_batch_without_two_halves_is_named(clips):
    with pytest.raises(AssertionError, match=f"the batch has {clips} clips: give an even number, 4 or more"):
        check_objective(Broken(None), small_batch(clips))
