"""The tool on a model that was never trained, in a world of its own."""

import json

import pytest

from tests.inference.conftest import make_video_model
from vjepa.commands import violations
from vjepa.commands.violations import main
from vjepa.config import read_config
from vjepa.plots import violations as picture
from vjepa.recipes.exam import worlds
from vjepa.recipes.pretrain.build import Resolved, model_config
from vjepa.recipes.pretrain.config import PretrainConfig
from vjepa.weights.model_folder import save_pretrained

ARGUMENTS = [
    "--config=configs/predict/box.yaml", "--encoder.embed_dim=24", "--encoder.num_heads=2",
    "--encoder.depth=1",
    "--predictor.embed_dim=12", "--predictor.depth=1", "--predictor.num_heads=1",
]  # fmt: skip


@pytest.fixture
def model(tmp_path):
    from vjepa.models.video_model import VideoModel

    config = model_config(Resolved(read_config(ARGUMENTS, PretrainConfig)))
    save_pretrained(tmp_path / "model", VideoModel(config).state_dict(), config)
    return str(tmp_path / "model")


def test_sets_are_rendered_measured_and_drawn(model, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(picture, "COLUMNS", 3)
    monkeypatch.setattr(worlds, "VIOLATIONS", ("vanish", "stop"))  # all kinds take three times as long
    monkeypatch.setattr(worlds, "CONTROLS", ("recolour",))
    arguments = ["--model", model, "--synthetic", "--num_sets", "1", "--num_ordinary", "20", "--nulls", "2"]
    arguments += ["--output", str(tmp_path / "out")]
    assert main([*arguments, "--rival", f"again={model}"]) == 0
    printed = capsys.readouterr().out
    assert "3 sets, 2 untrained models, context of 12 frames" in printed
    metrics = json.loads((tmp_path / "out" / "violations.json").read_text())
    assert set(metrics["reports"]) == {
        "model", "judged", "again", "untrained", "untrained judged", "motion_energy",
    }  # fmt: skip
    assert set(metrics["reports"]["model"]["kinds"]) == {"vanish", "stop", "recolour"}
    assert metrics["reports"]["model"] == metrics["reports"]["again"]
    assert set(metrics["localisation"]) == set(metrics["reports"]["model"]["kinds"])
    assert (tmp_path / "out" / "violations.png").stat().st_size > 50_000
    monkeypatch.setattr(violations, "draw_violations", lambda *_: None)  # the same picture takes seconds
    again = ["--model", model, "--matched", str(tmp_path / "out" / "matched"), "--nulls", "2"]
    assert main(again) == 0  # the rendered sets, read as any others
    assert (
        json.loads((tmp_path / "model" / "violations" / "violations.json").read_text())["reports"]["model"]
        == (metrics["reports"]["model"])
    )


def test_the_folder_of_a_model_of_the_hub_is_made_before_the_work(model, on_hub, tmp_path, monkeypatch):
    arguments = ["--model", on_hub(model), "--synthetic"]
    folder = tmp_path / "here" / "acme-model" / "violations"

    def rendered(world, target, *_):
        assert folder.is_dir()
        assert target.resolve() == folder / "matched"
        raise InterruptedError

    monkeypatch.setattr(violations, "matched_sets", rendered)
    with pytest.raises(InterruptedError):
        main(arguments)
    assert main([*arguments, "--output", f"{model}/config.json"]) == 2


def test_what_cannot_be_measured_is_said(model, tmp_path, capsys):
    save_pretrained(tmp_path / "bare", make_video_model().state_dict(), make_video_model().config)
    for arguments, message in (
        (["--model", str(tmp_path / "bare"), "--synthetic"], "not trained on rendered videos"),
        (["--model", model, "--intphys", "nowhere"], "nowhere"),
        (["--model", model, "--synthetic", "--rival", "runs/x"], "give NAME=RUN"),
    ):
        assert main(arguments) == 2
        assert message in capsys.readouterr().err
