"""Surprise with its controls, on pairs whose answer is known."""

import dataclasses

import numpy as np
import pytest
import torch

from tests.inference.conftest import make_video_model
from vjepa.data.manifest import Video
from vjepa.data.violation_sets import Matched
from vjepa.evaluation.untrained import untrained_copy
from vjepa.evaluation.violations import benchmark as expectation
from vjepa.evaluation.violations.benchmark import evaluate_violations, peak_step
from vjepa.inference.surprise import Surprise


@pytest.fixture
def sets(tmp_path):
    """Eight pairs of still plots; in the impossible one the plot is another from frame 16 on."""
    found = []
    for number in range(8):
        rng = np.random.default_rng(number)
        still, other = (
            np.repeat(rng.integers(0, 256, (1, 16, 16, 3), dtype=np.uint8), 40, axis=0) for _ in "ab"
        )
        jump = np.concatenate([still[:16], other[16:]])
        paths = [str(tmp_path / f"{number}_{name}.npy") for name in ("possible", "impossible")]
        for path, frames in zip(paths, (still, jump), strict=True):
            np.save(path, frames)
        kind = "teleport" if number < 6 else "recolour"
        found.append(Matched(kind, (paths[0],), (paths[1],), 16, 16, severity=float(number)))
    return found


@pytest.fixture
def ordinary(tmp_path):
    """Still plots, of which none becomes another."""
    found = []
    for number in range(20):
        still = np.random.default_rng(100 + number).integers(0, 256, (1, 16, 16, 3), dtype=np.uint8)
        np.save(tmp_path / f"ordinary_{number}.npy", np.repeat(still, 40, axis=0))
        found.append(Video(str(tmp_path / f"ordinary_{number}.npy")))
    return found


def oracle(model, path, normal):
    """Surprised by impossible videos alone, at time step 8 (frame 16)."""
    errors = torch.full((7, 13, 8, 2, 2), torch.nan)
    for row in range(7):
        errors[row, :, row + 1 :] = 0.1 + 0.01 * torch.rand(
            (), generator=torch.Generator().manual_seed(len(path))
        )
        if "impossible" in path and 8 - (row + 1) < 13:
            errors[row, 8 - (row + 1), row + 1] = 5.0
    return Surprise(errors, tuple(range(1, 8)), None, "target_encoder", 1, "layer_norm", normal)


def test_a_model_that_knows_is_told_from_what_knows_nothing(sets, ordinary, monkeypatch):
    knowing, real = make_video_model(), expectation.surprise
    monkeypatch.setattr(
        expectation,
        "surprise",
        lambda model, path, normal: (oracle if model is knowing else real)(model, path, normal=normal),
    )
    report = evaluate_violations(
        knowing, sets, nulls=2, rivals={"other": make_video_model(3)}, ordinary=ordinary
    )
    assert set(report.reports) == {
        "model", "judged", "other", "untrained", "untrained judged", "motion_energy",
    }  # fmt: skip
    judged = report.reports["judged"].macro["fixed"]
    assert judged["relative_max"].value == judged["auroc_max"].value == 1.0
    model = report.reports["model"]
    assert model.fixed == 10  # five steps of two frames
    assert model.macro["fixed"]["relative_mean"].value == 1.0
    assert set(model.kinds) == {"teleport", "recolour"}
    assert report.localisation["teleport"].hits == 1.0
    assert report.localisation["teleport"].guess == 1.0  # all at one time step: a guess is as good
    assert 0 <= report.localisation["teleport"].untrained <= 1
    assert report.localisation["teleport"].pairs == 6
    assert (
        report.reports["motion_energy"].macro["fixed"]["relative_mean"].value == 1.0
    )  # still plots, one jump
    table = report.table()
    assert table.index("teleport") < table.index("recolour")
    assert "are due " in table
    assert "in thirds of the sets from slight to severe" in table
    assert len(judged_thirds := report.reports["judged"].by_severity["teleport"]["relative_max"]) == 3
    assert all(metric.value == 1 for metric in judged_thirds)
    assert report.to_json()["localisation"]["teleport"]["pairs"] == 6


def test_untrained_models_differ_by_seed_and_leave_chance_alone():
    model = make_video_model()
    state = torch.get_rng_state()
    first, again, other = (untrained_copy(model, seed).encoder.state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    name = "transformer.blocks.0.attn.qkv.weight"
    assert torch.equal(first[name], again[name])
    assert not torch.equal(first[name], other[name])


def test_a_teacher_that_follows_begins_as_the_encoder():
    model = make_video_model()
    model.config = {**model.config, "which": "encoder", "teacher": model.config["encoder"]}
    null = untrained_copy(model, 0)
    for name, value in null.teacher.state_dict().items():
        assert torch.equal(value, null.encoder.state_dict()[name])


def test_the_peak_is_where_the_curves_part():
    nan = torch.nan
    assert peak_step(torch.tensor([nan, 1.0, 4.0, 9.0, nan]), torch.tensor([nan, 1.0, 1.0, 8.5, nan])) == 2


def test_a_rival_takes_nobody_s_place(sets):
    with pytest.raises(ValueError, match="a rival is called untrained"):
        evaluate_violations(make_video_model(), sets, rivals={"untrained": make_video_model()})


def test_a_rival_has_windows_of_the_same_length(sets):
    rival = make_video_model(clip={"num_frames": 8}, future={"context_steps": 2})
    with pytest.raises(ValueError, match="windows have 4 time steps in the rival short and 8 in the model"):
        evaluate_violations(make_video_model(), sets, rivals={"short": rival})


def test_a_short_video_is_named(sets, tmp_path):
    np.save(tmp_path / "short.npy", np.zeros((12, 16, 16, 3), dtype=np.uint8))
    short = dataclasses.replace(sets[0], possible=(str(tmp_path / "short.npy"),))
    with pytest.raises(ValueError, match=r"short\.npy: the video has 12 frames"):
        evaluate_violations(make_video_model(), [short], nulls=2)


def test_one_null_is_no_null(sets):
    with pytest.raises(ValueError, match="nulls is 1"):
        evaluate_violations(make_video_model(), sets, nulls=1)
