"""What may be seen before an action, what is predicted of it, and how well a probe ranks what comes."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch

from tests.inference.conftest import make_video_model
from vjepa.data.manifest import Video
from vjepa.data.processor import read_frames
from vjepa.evaluation.future.anticipation import anticipation_tokens, evaluate_anticipation, predict_step
from vjepa.evaluation.future.anticipation_probe import AnticipationProbe, focal_loss, mean_class_recall
from vjepa.inference.forecast import Window, encode_context, predict_rest, roll_out, window_of

# The models know clips of 16 frames at 10 a second, in time steps of 0.2 s, and look at 5 of 8 steps: one
# second.
CLIP = {"fps": 10.0, "stride": None}
COLOURS = [(230, 20, 20), (20, 230, 20), (20, 20, 230), (230, 230, 20)]
NAMES = ["pour", "cut", "stir", "wash"]
FRAMES = 75  # frames of a video, 3 s at 25 a second


def write_segments(folder, count, seed, start=2.0):
    """Videos of noise, in whose first second and a half a colour tells which action starts at `start`."""
    folder.mkdir(exist_ok=True)
    random, segments = np.random.default_rng(seed), []
    for number in range(count):
        frames = random.integers(0, 256, (FRAMES, 16, 16, 3))
        frames[:37] = 0.2 * frames[:37] + 0.8 * np.array(COLOURS[number % 4])
        path = folder / f"{number}.npy"
        np.save(path, frames.astype(np.uint8))
        segments.append(Video(str(path), NAMES[number % 4], start, start + 0.5))
    return segments


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("actions")
    return write_segments(folder / "train", 24, 0), write_segments(folder / "test", 12, 1)


@pytest.fixture(autouse=True)
def short_training(monkeypatch):
    monkeypatch.setattr("vjepa.evaluation.future.anticipation_probe.LEAST_STEPS", 60)
    monkeypatch.setattr("vjepa.evaluation.future.anticipation_probe.EPOCHS", 1)


@pytest.fixture
def model():
    return make_video_model(clip=CLIP)


def test_recall_is_that_of_a_loop():
    random = torch.Generator().manual_seed(0)
    scores_VX, labels_V = torch.randn(200, 9, generator=random), torch.randint(0, 7, (200,), generator=random)
    for k in (1, 3, 5):
        shares = []
        for label in set(labels_V.tolist()):
            rows = [row for row in range(200) if labels_V[row] == label]
            ranked = [sorted(range(9), key=lambda name: -scores_VX[row, name])[:k] for row in rows]
            shares.append(sum(label in best for best in ranked) / len(rows))
        assert mean_class_recall(scores_VX, labels_V, k) == pytest.approx(sum(shares) / len(shares))
    assert mean_class_recall(scores_VX, labels_V, 9) == 1.0
    with pytest.raises(ValueError, match="k is 10: there are 9 classes"):
        mean_class_recall(scores_VX, labels_V, 10)


def test_a_class_that_cannot_be_named_counts_as_missed():
    scores_VX = torch.eye(3)[[0, 1, 2, 2]]
    assert mean_class_recall(scores_VX, torch.tensor([0, 1, 2, 3]), 1) == 0.75


def test_the_focal_loss_is_its_formula():
    logits_BX, labels_B = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), [2, 0, 1, 1]
    total = 0.0
    for row, label in enumerate(labels_B):
        for column in range(3):
            p = 1 / (1 + math.exp(-logits_BX[row, column].item()))
            right, weight = (p, 0.25) if column == label else (1 - p, 0.75)
            total -= weight * (1 - right) ** 2 * math.log(right)
    assert focal_loss(logits_BX, torch.tensor(labels_B)).item() == pytest.approx(total / 4, rel=1e-5)


@pytest.mark.parametrize("clip", [CLIP, {"fps": None, "stride": 2}])
@pytest.mark.parametrize("horizon", [0.25, 0.61, 1.0])
def test_nothing_from_the_horizon_on_is_seen(parts, tmp_path, clip, horizon):
    model, segment = make_video_model(clip=clip), parts[0][0]
    if clip["stride"]:
        segment = dataclasses.replace(
            segment, start=2.5
        )  # five steps of two frames, every second one, are 0.8 s
    frames = np.load(segment.path)
    unseen = np.arange(FRAMES) / 25 >= segment.start - horizon - 1e-9
    changed = dataclasses.replace(segment, path=str(tmp_path / "changed.npy"))
    found = []
    for first in (0, 3):  # all later frames; then three more, which last longer than the model's period
        later = np.roll(unseen, -first) | unseen
        np.save(changed.path, np.where(later[:, None, None, None], 255 - frames, frames))
        found.append(anticipation_tokens(model, [changed], [horizon]).tokens_VND)
    truth = anticipation_tokens(model, [segment], [horizon]).tokens_VND
    assert torch.equal(found[0], truth)
    assert not torch.equal(found[1], truth)


def test_the_context_stands_beside_what_is_predicted(model, parts):
    segment = parts[0][0]
    found = anticipation_tokens(model, [segment, segment], [0.5, 1.0])
    window = window_of(model, 16, 16)
    assert found.tokens_VND.shape == (2, 5 * 4 + 4, 24)
    assert found.context == 20
    for row, end, step in ((0, 1.5, 3), (1, 1.0, 6)):  # of 0.2 s: begun by 0.5 s, and begun at 1.0 s
        frames = read_frames(segment.path, model.processor, last=10, end=end).video_TCHW
        with torch.no_grad():
            context_BKY = encode_context(model, frames[None])
            predicted_BSY = predict_step(model, context_BKY, window, step)
        torch.testing.assert_close(found.tokens_VND[row, :20], context_BKY[0], rtol=1e-5, atol=1e-5)
        ours_BSY = found.tokens_VND[row : row + 1, 20:]
        scale, shift = context_BKY.std(dim=-1, unbiased=False).mean(), context_BKY.mean()
        torch.testing.assert_close(ours_BSY, predicted_BSY * scale + shift, rtol=1e-4, atol=1e-5)
    unscaled = make_video_model(clip=CLIP, future={"normalisation": "none"})
    again = anticipation_tokens(unscaled, [segment], [1.0])
    torch.testing.assert_close(again.tokens_VND[0, 20:], predicted_BSY[0], rtol=1e-5, atol=1e-5)


def test_rows_keep_their_order_whatever_their_horizons(model, parts):
    horizons = [1.0, 0.3, 0.9, 0.3, 0.5]
    together = anticipation_tokens(model, parts[0][:5], horizons).tokens_VND
    for row, horizon in enumerate(horizons):
        alone = anticipation_tokens(model, [parts[0][row]], [horizon]).tokens_VND
        torch.testing.assert_close(together[row], alone[0], rtol=1e-5, atol=1e-5)


def test_a_step_past_the_window_is_asked_directly_or_by_sliding():
    context_BKY = torch.randn(2, 20, 24, generator=torch.Generator().manual_seed(0))
    for positions in ("rotary", "sincos"):
        model = make_video_model(predictor={"positions": positions, "depth": 1})
        window = window_of(model, 16, 16)
        with torch.no_grad():
            inside, past = (predict_step(model, context_BKY, window, step) for step in (2, 6))
            slid = roll_out(model, context_BKY, window, 6)[:, -4:]
            whole = predict_rest(model.predictor, context_BKY, window, model.targets)
            # A grid of six steps whose last is hidden is the same question, but for the five steps between.
            far = model.predictor(
                context_BKY, torch.arange(20).expand(2, -1), torch.arange(40, 44).expand(2, -1),
                Window(window.grid._replace(t=11), 5, 1).grid, 1,
            )  # fmt: skip
        assert torch.equal(inside, whole[:, 4:8])
        assert torch.allclose(past, far if positions == "rotary" else slid, atol=1e-6)
        assert not torch.allclose(far, slid, atol=1e-3)


def test_a_random_encoder_s_tokens_tell_the_coming_action(model, parts):
    report = evaluate_anticipation(model, *parts, draws=2, seed=0)
    assert report.chance.at_1 == 0.25
    assert report.chance.at_top == 0.75
    assert report.top == 3
    assert report.predicted.at_1 > 0.8
    assert report.context.at_1 > 0.8
    assert (report.train_clips, report.test_clips) == (48 - len(report.train_left_out), 12)
    assert report == evaluate_anticipation(model, *parts, draws=2, seed=0)
    tree = json.loads(json.dumps(report.to_json()))
    assert tree["predicted"]["at_1"] == report.predicted.at_1
    assert tree["classes"] == sorted(NAMES)
    assert "recall@5 of 4 classes would be trivial: @3 instead" in report.table()


def test_labels_that_nothing_tells_are_at_chance(model, parts):
    train, test = (
        [
            dataclasses.replace(video, label=NAMES[random.integers(4)])
            for video, random in zip(part, map(np.random.default_rng, range(100, 200)), strict=False)
        ]
        for part in parts
    )
    assert evaluate_anticipation(model, train, test, draws=1).predicted.at_1 < 0.6


def test_contexts_that_would_begin_before_the_video_are_reported(model, parts):
    train, test = parts
    early = dataclasses.replace(test[0], start=1.9)
    found = anticipation_tokens(model, [*test, early], [1.0] * 13)
    assert found.segments == tuple(test)
    assert [(left.path, left.start, left.horizon) for left in found.left_out] == [(early.path, 1.9, 1.0)]
    report = evaluate_anticipation(model, train, [*test, early], train_horizons=(0.5, 1.5))
    assert len(report.test_left_out) == 1
    assert len(report.train_left_out) + report.train_clips == 4 * len(train)
    assert report.train_left_out
    assert all(left.horizon > 1.0 for left in report.train_left_out)
    assert "1 test segments left out: their context would begin before the video does" in report.table()
    with pytest.raises(ValueError, match="none of 12 segments has the 5 time steps before it"):
        anticipation_tokens(model, test, [1.5] * 12)


def test_a_test_class_without_training_segments_counts_as_missed(model, parts):
    train, test = parts
    test = [*test, dataclasses.replace(test[0], label="sleep")]
    report = evaluate_anticipation(model, train, test, draws=1)
    assert report.unknown_classes == ("sleep",)
    assert report.chance.at_1 == 0.2
    assert report.predicted.at_top <= 0.8
    assert "1 test classes have no training segment" in report.table()


def test_one_ranking_is_always_right_about_one_class(model, parts):
    report = evaluate_anticipation(model, parts[0], parts[1][::4], draws=1)
    assert report.test_classes == ("pour",)
    assert (report.chance.at_1, report.chance.at_top) == (1.0, 1.0)


def test_two_classes_have_only_recall_at_1(model, parts):
    train, test = ([video for video in part if video.label in NAMES[:2]] for part in parts)
    report = evaluate_anticipation(model, train, test, draws=1)
    assert report.top == 1
    assert report.predicted.at_1 == report.predicted.at_top


def test_what_cannot_be_used_is_refused(model, parts, tmp_path):
    train, test = parts
    bad = tmp_path / "bad.npy"
    bad.write_bytes(b"no array")
    link = tmp_path / "link.npy"
    link.symlink_to(train[0].path)
    linked = dataclasses.replace(train[0], path=str(link), start=9.0)
    cases = [
        (train, [dataclasses.replace(test[0], start=None)], {}, "1 segments have no start, e.g. one of"),
        ([dataclasses.replace(train[0], label=None)], test, {}, "1 segments have no label"),
        (train, [*test, train[0]], {}, "training and test share what"),
        (train, [*test, linked], {}, "1 videos are in both"),
        (train, [], {}, "the test split has no segment"),
        (train[::4], test, {"draws": 1}, "one class, 'pour'"),
        (train, test, {"horizon": -0.1}, "a horizon is -0.1 s: give 0 or more"),
        (train, test, {"train_horizons": (0.2, math.nan)}, "a horizon is nan s"),
        (train, test, {"train_horizons": (1.0, 0.5)}, "go from 1.0 to 0.5 s: give the lowest"),
        (train, test, {"draws": 0}, "draws is 0"),
        ([dataclasses.replace(train[0], path=str(bad))], test, {}, "cannot be read by .*validate"),
        ([dataclasses.replace(train[0], start=9.0)], test, {}, "starts at 9.0 s, and .* its video has ended"),
    ]
    for first, second, more, message in cases:
        with pytest.raises(ValueError, match=message):
            evaluate_anticipation(model, first, second, **more)
    with pytest.raises(ValueError, match="2 horizons for 1 segments"):
        anticipation_tokens(model, test[:1], [1.0, 1.0])
    wider = make_video_model(clip=CLIP, predictor={"out_dim": 32}, future={"normalisation": "none"})
    with pytest.raises(ValueError, match="predictions have width 32 and the encoder's tokens 24"):
        anticipation_tokens(wider, test[:1], [0.3])


def test_the_probe_is_four_blocks_and_seeded():
    random = torch.Generator().manual_seed(0)
    tokens_VND, labels_V = torch.randn(40, 6, 24, generator=random), torch.arange(40) % 3
    tokens_VND[torch.arange(40), labels_V, :4] += (
        3  # which token stands out tells the class: attention must look
    )
    first, second, other = (AnticipationProbe.fit(tokens_VND, labels_V, 3, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.scores(tokens_VND), second.scores(tokens_VND))
    assert not torch.equal(first.scores(tokens_VND), other.scores(tokens_VND))
    assert [type(layer).__name__ for layer in first.layers] == [
        *["Block"] * 3, "LayerNorm", "AttentionPoolLatent", "Linear",
    ]  # fmt: skip
    assert mean_class_recall(first.scores(tokens_VND), labels_V, 1) > 0.9
