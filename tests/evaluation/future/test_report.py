"""Skills against written-out references; what is read out of predictions; videos that are left out."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import vjepa
from tests.inference.conftest import make_video_model
from vjepa.data.manifest import Video, read_manifest
from vjepa.data.synthetic.settings import RenderSettings
from vjepa.data.synthetic.write import write_videos
from vjepa.evaluation.future import samples
from vjepa.evaluation.future.samples import evaluate_samples
from vjepa.evaluation.future.skill import (
    Embedded,
    _strangers,
    embed_clips,
    horizon_reports,
    motion_energy,
    temporal_share,
    window_and_last,
)


@pytest.fixture
def videos(tmp_path):
    """Six arrays of noise, 26 frames each, and one that is too short and one that is broken."""
    found = []
    for number, frames in enumerate((26, 26, 26, 26, 26, 26, 12)):
        path = tmp_path / f"{number}.npy"
        np.save(path, np.random.default_rng(number).integers(0, 256, (frames, 16, 16, 3), dtype=np.uint8))
        found.append(Video(str(path)))
    (tmp_path / "broken.npy").write_bytes(b"nothing")
    return [*found, Video(str(tmp_path / "broken.npy"))]


def test_figures_are_those_of_a_reference_written_out(videos):
    """Clip by clip and horizon by horizon, with the networks called by hand."""
    model = make_video_model()
    report = vjepa.evaluate_future(model, videos, steps=3)
    assert report.clips == 6
    assert [path.rsplit("/", 1)[1] for path in (*report.too_short, *report.unreadable)] == [
        "6.npy",
        "broken.npy",
    ]
    errors = {name: [] for name in ("predicted", "copy_last", "linear")}
    truths = []
    for video in videos[:6]:
        frames = torch.from_numpy(np.load(video.path)).permute(0, 3, 1, 2)[None, :16]
        truth = F.layer_norm(model.encode(frames), (24,)).unflatten(1, (8, 4))[:, 5:]
        seen = F.layer_norm(model.encode(frames[:, :10]), (24,)).unflatten(1, (5, 4))
        predicted = (
            vjepa.FuturePredictor(model).observe(frames[:, :10]).predict().embeddings_BFhwY.flatten(2, 3)
        )
        slope = seen[:, 4] - seen[:, 3]
        for horizon in (1, 2, 3):
            at = truth[:, horizon - 1]
            for name, guess in (
                ("predicted", predicted[:, horizon - 1]),
                ("copy_last", seen[:, 4]),
                ("linear", seen[:, 4] + horizon * slope),
            ):
                errors[name].append((guess - at).abs().mean().item())
        truths.append(truth)
    error = {name: np.array(values).reshape(6, 3).mean(axis=0) for name, values in errors.items()}
    for row, horizon in enumerate(report.horizons):
        assert horizon.l1.value == pytest.approx(error["predicted"][row], abs=1e-5)
        for name in ("copy_last", "linear"):
            skill = 1 - error["predicted"][row] / error[name][row]
            assert horizon.skill[name].value == pytest.approx(skill, abs=1e-4)
            assert horizon.skill[name].low <= skill <= horizon.skill[name].high
    others = torch.stack([torch.cat([*truths[:n], *truths[n + 1 :]]).mean(dim=0) for n in range(6)])
    mean_error = (others - torch.cat(truths)).abs().mean(dim=(0, 2, 3)).detach().numpy()
    assert report.horizons[1].skill["mean"].value == pytest.approx(
        1 - error["predicted"][1] / mean_error[1], abs=1e-4
    )


def test_perfect_copied_and_shuffled_predictions_score_as_they_should():
    window, _ = window_and_last(make_video_model(), None)
    generator = torch.Generator().manual_seed(0)
    true, last = torch.randn(64, 2, 4, 8, generator=generator), torch.randn(64, 4, 8, generator=generator)
    copied = last.unsqueeze(1).expand_as(true)
    perfect, copying, shuffled = (
        horizon_reports(Embedded(true, predicted, last, None, torch.arange(64.0)), window, None)[0]
        for predicted in (true, copied, true.roll(7, dims=0))
    )
    assert perfect.l1.value == 0
    assert all(perfect.skill[name].value == 1 for name in ("copy_last", "mean", "shuffled"))
    assert perfect.skill["linear"] is None
    assert copying.skill["copy_last"].value == 0
    assert abs(shuffled.skill["shuffled"].value) < 0.05


def test_intervals_are_over_groups():
    """Clips of a group that err alike are one piece of evidence: eight copies do not narrow the interval."""
    generator = torch.Generator().manual_seed(0)
    true = torch.randn(8, 1, 4, 6, generator=generator)
    noise = torch.linspace(0.1, 0.8, 8).view(-1, 1, 1, 1) * torch.randn(true.shape, generator=generator)
    last = torch.zeros(8, 4, 6)
    window, _ = window_and_last(make_video_model(), None)

    def width(copies, groups):
        parts = [tensor.repeat_interleave(copies, dim=0) for tensor in (true, true + noise, last)]
        embedded = Embedded(*parts, None, torch.arange(8.0 * copies))
        skill = horizon_reports(embedded, window, None, groups=groups)[0].skill["copy_last"]
        return skill.value, skill.high - skill.low

    alone = width(1, None)
    assert width(8, [clip // 8 for clip in range(64)]) == pytest.approx(alone, rel=1e-5)
    value, narrow = width(8, None)
    assert value == pytest.approx(alone[0])
    assert narrow < alone[1] / 2
    assert width(8, ["one"] * 64) == pytest.approx((value, narrow))


@pytest.mark.filterwarnings("ignore:(divide|invalid)")  # The cosine error of parallel vectors is 0.
@pytest.mark.parametrize("sizes", [[3, 3], [5, 1, 2], [1, 1, 1, 1], [7, 1]])
def test_strangers_and_means_are_of_other_groups(sizes):
    """A clip is compared neither with the truth of another clip of its video, nor with a mean over it."""
    groups = [3.0**number for number, size in enumerate(sizes) for _ in range(size)]
    groups = [groups[place] for place in torch.randperm(len(groups)).tolist()]
    assert all(groups[row] != groups[other] for row, other in enumerate(_strangers(groups).tolist()))
    level = torch.tensor(groups).view(-1, 1, 1, 1).expand(-1, 1, 2, 3)
    window, _ = window_and_last(make_video_model(), None)
    embedded = Embedded(level, level + 0.5, level[:, 0] - 1, None, torch.arange(float(len(groups))))
    skill = horizon_reports(embedded, window, None, groups=groups)[0].skill
    means = [np.mean([other for other in groups if other != group]) for group in groups]
    error = np.abs(np.array(means) - np.array(groups)).mean()
    assert skill["mean"].value == pytest.approx(1 - 0.5 / error, abs=1e-5)
    alone = horizon_reports(embedded, window, None, groups=[0] * len(groups))[0].skill
    assert (alone["mean"], alone["shuffled"]) == (None, None)


def test_the_truth_of_a_step_does_not_depend_on_which_others_are_measured(videos):
    model = make_video_model()
    first = [vjepa.evaluate_future(model, videos[:6], steps=steps).horizons[0] for steps in (1, 2, 3)]
    assert first[0].l1 == first[1].l1 == first[2].l1


def test_a_model_that_cannot_roll_out_is_measured_in_its_window(videos):
    """Targets that are averages of blocks cannot become context."""
    model = make_video_model()
    model.targets.blocks = 4
    window, last = window_and_last(model, None)
    assert last == window.rest == 3


def test_a_range_without_frames_is_left_out(videos):
    beyond = [*videos[:4], Video(videos[0].path, start=100.0)]
    report = vjepa.evaluate_future(make_video_model(), beyond, steps=1)
    assert (report.clips, report.too_short) == (4, (videos[0].path,))


def test_few_rendered_videos_are_measured_without_read_outs(tmp_path):
    settings = RenderSettings(size=16, frames=24, objects=(1, 1), radius=(0.2, 0.2), camera=0.0)
    few = write_videos(tmp_path, settings, num_videos=3, seed=0)
    assert vjepa.evaluate_future(make_video_model(), few, steps=1).horizons[0].read_out is None


def test_a_third_of_the_clips_that_is_one_group_has_an_interval():
    generator = torch.Generator().manual_seed(0)
    true, noise = (torch.randn(12, 1, 4, 6, generator=generator) for _ in range(2))
    embedded = Embedded(true, true + 0.3 * noise, torch.zeros(12, 4, 6), None, torch.arange(12.0))
    window, _ = window_and_last(make_video_model(), None)
    groups = [clip // 4 for clip in range(12)]  # each third is a group of its own
    for skill in horizon_reports(embedded, window, None, groups=groups)[0].skill_by_motion.values():
        assert skill.low < skill.value < skill.high


def test_skill_is_told_apart_by_how_much_a_clip_moves():
    """Clips whose frames change are predicted, the others are not: by construction, before any rounding."""
    window, _ = window_and_last(make_video_model(), None)
    draws = torch.Generator().manual_seed(0)
    true, last = torch.randn(30, 2, 4, 8, generator=draws), torch.randn(30, 4, 8, generator=draws)
    order = torch.randperm(30, generator=draws)
    predicted = last.unsqueeze(1).repeat(1, 2, 1, 1)
    predicted[order[20:]] = true[order[20:]]
    report = horizon_reports(Embedded(true, predicted, last, None, order.argsort().float()), window, None)[0]
    assert {name: skill.value for name, skill in report.skill_by_motion.items()} == {
        "least": 0, "middle": 0, "most": 1,
    }  # fmt: skip
    assert 0 < report.skill["copy_last"].value < 1
    few = horizon_reports(Embedded(true[:5], true[:5], last[:5], None, torch.arange(5.0)), window, None)[0]
    assert few.skill_by_motion is None


def test_motion_energy_is_the_mean_step_of_a_pixel():
    still = torch.full((1, 5, 3, 4, 4), 7, dtype=torch.uint8)
    moving = torch.arange(0, 250, 50, dtype=torch.uint8).view(1, 5, 1, 1, 1).expand(1, 5, 3, 4, 4)
    back = moving.flip(1)  # differences of unsigned bytes must not wrap around
    assert motion_energy(torch.cat([still, moving, back])).tolist() == [0, 50, 50]


def test_a_static_encoder_has_no_variance_in_time():
    draws = torch.Generator().manual_seed(0)
    static = torch.randn(50, 1, 4, 8, generator=draws).expand(-1, 6, -1, -1)
    unrelated = torch.randn(50, 6, 4, 8, generator=draws)
    places = 100 * torch.randn(1, 1, 4, 8, generator=draws)  # what all clips share counts for nothing
    assert temporal_share(static + places) == pytest.approx(0, abs=1e-9)
    assert temporal_share(unrelated + places) == pytest.approx(1, abs=0.05)
    assert temporal_share(3**0.5 * static + unrelated) == pytest.approx(0.25, abs=0.05)
    assert temporal_share(unrelated[:, :1]) is None
    assert temporal_share(places.expand(5, 4, -1, -1)) is None


def test_an_untrained_residual_predictor_is_exactly_as_good_as_a_copy(videos):
    model = make_video_model(predictor={"residual": True})
    torch.nn.init.zeros_(model.predictor.proj.weight)
    torch.nn.init.zeros_(model.predictor.proj.bias)
    for horizon in vjepa.evaluate_future(model, videos, steps=3).horizons:
        skill = horizon.skill["copy_last"]
        assert (skill.low, skill.value, skill.high) == (0, 0, 0)


def test_later_horizons_are_rolled_out_and_held_against_the_window_that_ends_there(videos):
    model = make_video_model()
    window, last = window_and_last(model, None)
    assert last == 6
    frames = torch.from_numpy(np.load(videos[0].path)).permute(0, 3, 1, 2)[None, :22]
    embedded = embed_clips(model, frames, window, last)
    expected = F.layer_norm(model.encode(frames[:, 6:22]), (24,)).unflatten(1, (8, 4))[:, -1]
    torch.testing.assert_close(embedded.true_VFSY[:, 5], expected, atol=1e-5, rtol=1e-5)
    rolled = vjepa.FuturePredictor(model).observe(frames[:, :10]).rollout(steps=6).embeddings_BFhwY
    torch.testing.assert_close(embedded.predicted_VFSY, rolled.flatten(2, 3), atol=1e-5, rtol=1e-5)
    report = vjepa.evaluate_future(model, videos)
    assert [horizon.rolled_out for horizon in report.horizons] == [False] * 3 + [True] * 3


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    model = RenderSettings(size=16, frames=24, objects=(1, 1), radius=(0.2, 0.2), camera=0.0)
    return write_videos(tmp_path_factory.mktemp("rendered"), model, num_videos=40, seed=0)


def test_places_and_velocities_are_read_off_rendered_videos(rendered):
    report = vjepa.evaluate_future(make_video_model(), rendered, steps=1)
    read_out = report.horizons[0].read_out
    assert set(read_out) == {"position", "velocity"}
    assert all(set(metrics) == {"true", "predicted", "copy_last"} for metrics in read_out.values())
    assert read_out["position"]["true"] > read_out["position"]["predicted"]  # untrained: it knows nothing
    assert report.to_json()["horizons"][0]["read_out"] == read_out
    assert "copy_last" in report.table()


def test_samples_are_measured(rendered):
    report = evaluate_samples(make_video_model(predictor={"noise_dim": 4}), rendered, samples=9, steps=2)
    assert set(report) == {1, 2}
    metrics = report[1]["position"]
    assert metrics["videos"] == 20
    assert metrics["expected_coverage"] == pytest.approx(0.8)
    assert 0 <= metrics["coverage"]["value"] <= 1
    assert metrics["single_score"]["value"] > 0
    with pytest.raises(ValueError, match="knows one future"):
        evaluate_samples(make_video_model(), rendered)
    with pytest.raises(ValueError, match=r"3 of 3 videos .* and 4 are needed"):
        evaluate_samples(make_video_model(predictor={"noise_dim": 4}), read_manifest(rendered)[:3])


def test_the_error_of_the_read_out_can_be_taken_out(tmp_path, monkeypatch):
    """Samples and truth have the same distribution, around an embedding that shows positions inexactly."""
    settings = RenderSettings(size=16, frames=16, objects=(1, 1), radius=(0.2, 0.2), camera=0.0)
    rendered = write_videos(tmp_path, settings, num_videos=160, seed=0)
    angle = 2 * torch.pi * torch.stack([
        torch.from_numpy(np.load(video.path.replace(".mp4", ".npz"))["positions"][11, 0])
        for video in read_manifest(rendered)
    ])  # fmt: skip
    draws = torch.Generator().manual_seed(0)
    shown = torch.cat([angle.cos(), angle.sin()], dim=1)
    shown = shown + 0.5 * torch.randn(160, 4, generator=draws)  # the same in all futures of a video
    noise = 0.2 * torch.randn(160, 17, 1, 4, generator=draws)
    every = (shown[:, None, None] + noise).float()
    monkeypatch.setattr(samples, "_embed", lambda *_: (every[:, 0], every[:, 0], every[:, 1:]))
    found = evaluate_samples(make_video_model(predictor={"noise_dim": 4}), rendered, samples=16, steps=1)[1]
    expected = found["position"]["expected_coverage"]
    for name in ("embeddings", "position_as_read"):
        assert found[name]["coverage"]["low"] < expected < found[name]["coverage"]["high"]
    assert found["position"]["coverage"]["value"] < expected - 0.2


def test_what_cannot_be_measured_is_refused(videos):
    model = make_video_model()
    with pytest.raises(ValueError, match=r"0 of 1 videos .* give longer videos"):
        vjepa.evaluate_future(model, videos[6:7])
    with pytest.raises(ValueError, match="steps is 0"):
        vjepa.evaluate_future(model, videos, steps=0)
    model.predictor = None
    with pytest.raises(ValueError, match="no predictor of embeddings"):
        vjepa.evaluate_future(model, videos)


def test_manifests_are_read(rendered):
    assert len(read_manifest(rendered)) == 40
    assert vjepa.evaluate_future(make_video_model(), str(rendered), steps=1).clips == 40
