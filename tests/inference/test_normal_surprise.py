"""p-values of surprise: right for ordinary videos, small where something happens."""

import dataclasses

import numpy as np
import pytest
import torch

import vjepa
from tests.inference.conftest import make_video_model
from vjepa.data.manifest import Video
from vjepa.inference.normal_surprise import NormalSurprise
from vjepa.weights.model_folder import save_pretrained

CONTEXTS, STEPS, WINDOWS, SIDE = (1, 2, 3), 4, 6, 3
SETTINGS = {"encoder": "encoder"}


def errors(count, seed, windows=WINDOWS, common=0.5):
    """Errors of ordinary videos: each place has a level and a spread of its own, and steps hang together."""
    draws = torch.Generator().manual_seed(0)
    level_hw, spread_hw = (
        torch.randn(SIDE, SIDE, generator=draws),
        torch.rand(SIDE, SIDE, generator=draws) + 0.1,
    )
    draws.manual_seed(seed)
    videos = []
    for _ in range(count):
        noise = torch.randn(len(CONTEXTS), windows, STEPS, SIDE, SIDE, generator=draws)
        shared = common * torch.randn(1, 1, 1, 1, 1, generator=draws)
        error = (level_hw + spread_hw * (noise + shared)).exp()
        for row, context in enumerate(CONTEXTS):
            error[row, :, :context] = torch.nan
        videos.append(error)
    return videos


@pytest.fixture(scope="module")
def normal():
    return NormalSurprise.of_errors(errors(400, seed=1), CONTEXTS, SETTINGS)


def test_p_values_of_ordinary_videos_are_uniform(normal):
    """Of places, time steps and whole videos, a share alpha has p-values of at most alpha."""
    judged = [normal.judge(error, SETTINGS, None) for error in errors(300, seed=2)]
    found = {
        "places": torch.cat([each.p_thw[1:].flatten() for each in judged]),
        "steps": torch.cat([each.p_t[1:] for each in judged]),
        "videos": torch.tensor([each.p for each in judged]),
    }
    for name, p_values in found.items():
        for level in (0.05, 0.2, 0.5, 0.9):
            share = (p_values <= level).float().mean().item()
            assert share == pytest.approx(level, abs=0.075), (name, level)
    assert all(each.p_t[0].isnan() for each in judged)  # it has no context


@pytest.mark.parametrize("windows", [3, 30])
def test_p_values_of_shorter_and_of_longer_videos_are_uniform_too(windows):
    """A longer ordinary video has more time steps that may score high by chance."""
    normal = NormalSurprise.of_errors(errors(400, seed=1, common=0), CONTEXTS, SETTINGS)
    p_values = torch.tensor([normal.judge(e, SETTINGS, None).p for e in errors(300, 7, windows, common=0)])
    for level in (0.05, 0.2, 0.5):
        assert (p_values <= level).float().mean().item() == pytest.approx(level, abs=0.09), level


def test_medians_and_scores_are_of_different_groups():
    """Ten films of which each gives four equal clips."""
    films = errors(10, seed=8)
    videos = [film for film in films for _ in range(4)]
    groups = [number for number in range(10) for _ in range(4)]
    normal = NormalSurprise.of_errors(videos, CONTEXTS, SETTINGS, groups)
    alone = NormalSurprise.of_errors([film for film in films for _ in range(2)], CONTEXTS, SETTINGS)
    fitted = torch.stack(films[::2])[:, 0, :, 1].flatten(0, 1).log().median(dim=0).values
    torch.testing.assert_close(normal.median_chw[0], fitted)
    assert not torch.equal(alone.median_chw[0], fitted)
    with pytest.raises(ValueError, match="40 ordinary videos are of one group, film: give videos of two"):
        NormalSurprise.of_errors(videos, CONTEXTS, SETTINGS, ["film"] * 40)


def test_an_event_is_found_at_its_step_and_place(normal):
    seconds = [0.5 * step for step in range(WINDOWS + STEPS - 1)]
    for error in errors(20, seed=3):
        for row, context in enumerate(CONTEXTS):  # time step 5 comes after a context of any length
            error[row, 5 - context, context, 1, 2] *= 100
        judged = normal.judge(error, SETTINGS, seconds)
        assert judged.score_t.nan_to_num(-1).argmax() == 5
        assert judged.p <= 0.01
        assert judged.p_t[5] <= 0.01
        assert judged.p_thw[5].flatten().argmin() == 1 * SIDE + 2
        first, last = judged.span
        assert first <= 5 < last
        assert judged.seconds == (first * 0.5, last * 0.5)


def test_ordinary_videos_have_no_span_most_of_the_time(normal):
    spans = [normal.judge(error, SETTINGS, None).span for error in errors(50, seed=4)]
    assert sum(span is None for span in spans) > 10
    assert all(normal.judge(error, SETTINGS, None).seconds is None for error in errors(2, seed=5))


def test_other_settings_and_sizes_are_refused(normal):
    error = errors(1, seed=6)[0]
    with pytest.raises(ValueError, match=r"calibrated with .*'encoder'.* measured with .*calibrate it again"):
        normal.judge(error, {"encoder": "target_encoder"}, None)
    with pytest.raises(ValueError, match=r"on \(3, 3\) places, and measured with .* on \(2, 3\)"):
        normal.judge(error[..., :2, :], SETTINGS, None)
    with pytest.raises(ValueError, match="19 ordinary videos can be read: give 20 or more"):
        NormalSurprise.of_errors(errors(19, seed=0), CONTEXTS, SETTINGS)


def test_a_model_folder_keeps_what_is_normal(tmp_path):
    """From ordinary videos on disk to p-values of another video; unreadable and short ones are left out."""
    built = make_video_model()
    save_pretrained(tmp_path / "model", built.state_dict(), built.config)
    model = vjepa.from_pretrained(tmp_path / "model")
    videos = []
    for number in range(26):
        path = tmp_path / f"{number}.npy"
        frames = 12 if number == 3 else 24
        np.save(path, np.random.default_rng(number).integers(0, 256, (frames, 16, 16, 3), dtype=np.uint8))
        videos.append(Video(str(path)))
    (tmp_path / "4.npy").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="calibrate_surprise"):
        _ = vjepa.surprise(model, videos[0].path).judged
    with pytest.raises(FileNotFoundError, match="calibrate_surprise"):
        NormalSurprise.load(tmp_path / "model")
    with pytest.warns(UserWarning, match=r"2 of 25 ordinary videos are left out, e.g. .*3.npy is shorter"):
        normal = vjepa.calibrate_surprise(model, videos[:25])
    assert len(normal.video_Q) == 11  # every second of 23
    normal.save(tmp_path / "model")
    result = vjepa.surprise(vjepa.from_pretrained(tmp_path / "model"), videos[25].path)
    given = vjepa.surprise(model, videos[25].path, normal=normal)
    for field in dataclasses.fields(result.judged):
        one, other = getattr(result.judged, field.name), getattr(given.judged, field.name)
        same = torch.equal(one.nan_to_num(-1), other.nan_to_num(-1)) if torch.is_tensor(one) else one == other
        assert same, field.name
    assert result.judged.p_t.shape == result.curve.shape
    assert 1 / 12 <= result.judged.p <= 1
