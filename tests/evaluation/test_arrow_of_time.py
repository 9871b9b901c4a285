"""The arrow of time: what is right forwards is wrong backwards."""

import pytest
import torch

from tests.inference.conftest import make_video_model
from vjepa.evaluation.arrow_of_time import arrow_of_time
from vjepa.inference.surprise import surprise


def test_a_video_counts_if_its_reversal_has_the_higher_loss():
    model = make_video_model()
    draws = torch.Generator().manual_seed(0)
    videos = [torch.randint(0, 256, (25, 3, 16, 16), dtype=torch.uint8, generator=draws) for _ in range(6)]
    report = arrow_of_time(model, videos)
    assert report.fixed == 10
    right = 0
    for video in videos:  # the last frame is in no time step of 24 // 2
        losses = [surprise(model, frames).losses_cV[4].mean() for frames in (video[:24], video[:24].flip(0))]
        right += losses[0] < losses[1]
    found = report.kinds["reversed"]["fixed"]["relative_mean"].value
    assert found == pytest.approx(float(right) / 6)
    backwards = arrow_of_time(model, [video[:24].flip(0) for video in videos])
    assert backwards.kinds["reversed"]["fixed"]["relative_mean"].value == pytest.approx(1 - found)


def test_videos_of_one_source_are_one_set():
    model = make_video_model()
    videos = list(torch.randint(0, 256, (4, 16, 3, 16, 16), dtype=torch.uint8))
    counts = arrow_of_time(model, videos, ["a", "b", "a", "a"]).counts["reversed"]
    assert counts == {"sets": 2, "pairs": 4}
