"""The tool as a user runs it: a model and a manifest of actions in, a table and metrics out.

What it refuses.
"""

import json

import numpy as np
import pytest

from tests.inference.conftest import make_video_model
from vjepa.commands.anticipate import main
from vjepa.weights.model_folder import save_pretrained


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A model with random weights, and a manifest of actions that a brightness before them tells."""
    monkeypatch.setattr("vjepa.evaluation.future.anticipation_probe.LEAST_STEPS", 20)
    monkeypatch.setattr("vjepa.evaluation.future.anticipation_probe.EPOCHS", 1)
    model = make_video_model(clip={"fps": 10.0, "stride": None})
    save_pretrained(tmp_path / "model", model.state_dict(), model.config)
    lines = ["path,label,start,end,split"]
    for number in range(12):
        frames = np.full((75, 16, 16, 3), 60 * (number % 3), np.uint8)
        frames[:, 0, 0] = number  # no two videos show the same
        np.save(tmp_path / f"{number}.npy", frames)
        split, start = ("train", "test")[number // 6], 0.5 if number == 11 else 2.25
        lines.append(f"{number}.npy,{'abc'[number % 3]},{start},3.0,{split}")
    (tmp_path / "actions.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def run(folder, *more, train="split=train", test="split=test"):
    source = folder / "actions.csv"
    parts = ["--train", f"{source}?{train}", "--test", f"{source}?{test}"]
    return main(["--model", str(folder / "model"), *parts, *more])


def test_a_table_and_figures(folder, capsys):
    assert run(folder) == 0
    printed = capsys.readouterr().out
    for line in (
        "context and predicted "
        "tokens", "context tokens alone", "1 s before the action; 5 test segments of 3 classes",
        "1 test segments left out", "recall@5 of 3 classes would be trivial: @2 instead",
    ):  # fmt: skip
        assert line in printed
    metrics = json.loads((folder / "model" / "anticipation" / "anticipation.json").read_text())
    assert metrics["horizon"] == 1.0
    assert metrics["classes"] == ["a", "b", "c"]
    assert metrics["test_left_out"] == [{"path": str(folder / "11.npy"), "start": 0.5, "horizon": 1.0}]
    assert metrics["train"].endswith("actions.csv?split=train")
    for row in ("predicted", "context", "chance"):
        assert 0 <= metrics[row]["at_1"] <= metrics[row]["at_top"] <= 1


def test_horizon_seed_and_place_can_be_chosen(folder):
    assert run(folder, "--horizon", "0.5", "--seed", "3", "--output", str(folder / "out")) == 0
    metrics = json.loads((folder / "out" / "anticipation.json").read_text())
    assert (metrics["horizon"], metrics["seed"]) == (0.5, 3)


def test_figures_of_a_model_of_the_hub_lie_under_another_name_than_its_own(folder, on_hub, monkeypatch):
    source = f"{folder / 'actions.csv'}?split="
    arguments = ["--model", on_hub(folder / "model"), "--train", f"{source}train", "--test", f"{source}test"]
    for _ in range(2):
        assert main(arguments) == 0
    assert (folder / "here" / "acme-model" / "anticipation" / "anticipation.json").exists()
    monkeypatch.setattr("vjepa.commands.anticipate.evaluate_anticipation", None)  # refused before the work
    assert main([*arguments, "--output", str(folder / "actions.csv")]) == 2


def test_what_cannot_be_used_is_an_error(folder, capsys):
    for arguments, message in (
        ({"test": "split=train"}, "training and test share what"),
        ({"test": "split=val"}, "no row of"),
    ):
        assert run(folder, **arguments) == 2
        assert message in capsys.readouterr().err
    assert run(folder, "--horizon", "-1") == 2
    assert capsys.readouterr().err.startswith("error: a horizon is -1.0 s")
    (folder / "model" / "config.json").unlink()
    assert run(folder) == 2
    assert "is not a model" in capsys.readouterr().err
