"""Tests of fine-tuning with few labels: its runs, resuming, results and errors."""

import json
import pickle

import pytest
import torch

from tests.accelerate_state import fresh_accelerate
from vjepa.commands.few_labels import main
from vjepa.config import ConfigError, read_config
from vjepa.data.readers.open import check_reader
from vjepa.data.synthetic.settings import RenderSettings
from vjepa.data.synthetic.write import write_videos
from vjepa.models.video_model import VideoModel
from vjepa.plots.label_curve import draw_label_curve, label_curve_table
from vjepa.recipes.compare import few_labels as module
from vjepa.recipes.compare import processes
from vjepa.recipes.compare.few_labels import few_labels, read_arm
from vjepa.recipes.finetune.config import FinetuneConfig
from vjepa.weights.model_folder import save_pretrained

CONFIG = {
    "encoder": {"embed_dim": 24, "depth": 1, "num_heads": 2, "tubelet": [2, 8, 8]},
    "pixels": {"mean": [0.5] * 3, "std": [0.25] * 3},
    "clip": {"num_frames": 4, "fps": None, "stride": 1, "size": [16, 16], "whole_frame": True},
}


@pytest.fixture
def arguments(tmp_path):
    torch.manual_seed(0)
    save_pretrained(tmp_path / "model", VideoModel(CONFIG).state_dict(), CONFIG)
    settings = RenderSettings(size=16, frames=6, motions=("left", "right"))
    for part, seed in (("train", 0), ("test", 1)):
        write_videos(tmp_path / part, settings, num_videos=12, seed=seed)
    return [
        f"--data.train={tmp_path / 'train' / 'manifest.csv'}",
        f"--data.test={tmp_path / 'test' / 'manifest.csv'}",
        "--model.tune=none",
        f"--features={{folder: {tmp_path / 'features'}}}",
        "--optim.epochs=2",
        "--optim.batch_size=4",
        "--optim.warmup_epochs=0",
        "--train.trackers=[]",
        "--train.device=cpu",
        "--data.num_workers=0",
        f"--output_dir={tmp_path / 'few'}",
    ]


def in_this_process(tasks, work, jobs):
    """What `run_tasks` does, without the seconds in which fresh processes import."""
    for task in tasks:
        fresh_accelerate()
        sent, job = pickle.loads(pickle.dumps((task, work)))
        job(sent)
        yield task


@pytest.mark.parametrize("fresh", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_one_command_makes_the_curve_and_goes_on(fresh, arguments, tmp_path, capsys, monkeypatch):
    if not fresh:
        monkeypatch.setattr(module, "run_tasks", in_this_process)
    arms = ["--arm", f"trained={tmp_path}", "--arm", f"untrained=random:{tmp_path}"]
    chosen = ["--shares", "0.2", "--seeds", "0", "--jobs", "2"]
    assert main([*arms, *chosen, *arguments]) == 0
    assert "2 runs, 0 finished already" in capsys.readouterr().out
    found = json.loads((tmp_path / "few" / "few_labels.json").read_text())
    assert found["chance"] == 0.5
    assert {name: sorted(points) for name, points in found["mean_class"].items()} == {
        "trained": ["0.2"],
        "untrained": ["0.2"],
    }
    runs = {
        run.name: json.loads((run / "summary.json").read_text())
        for run in (tmp_path / "few" / "runs").iterdir()
    }
    assert runs["trained-0.2-0"]["videos"]["train"] == 4  # 2 of 6 per class: 1.2, rounded up
    assert (tmp_path / "few" / "few_labels.png").stat().st_size > 5000
    assert main([*arms, *chosen, *arguments]) == 0
    assert "2 runs, 2 finished already" in capsys.readouterr().out
    # A finished run of other settings is not taken for one of these.
    assert main([*arms, *chosen, *arguments, "--optim.weight_decay=0.5"]) == 2
    assert "optim.weight_decay" in capsys.readouterr().err


@pytest.mark.parametrize("given", [[], ["--seed=7"], ["--model.init=x"]])
def test_arm_share_and_seed_of_a_recipe_give_way(given, tmp_path, monkeypatch, capsys):
    """The documented command names a recipe for one run; what is given in person is refused."""
    monkeypatch.chdir(tmp_path)
    read = []
    monkeypatch.setattr(module.finetuning, "labelled_splits", lambda config: read.append(config))
    documented = ["--config", "finetune/quickstart_probe", "--grid", "null", "--output_dir", "few"]
    assert main(["--arm", "V-JEPA=there", *documented, *given]) == 2
    refused = "arms, shares and seeds determine it" in capsys.readouterr().err
    assert (refused, len(read)) == ((True, 0) if given else (False, 1))


def test_what_cannot_be_compared_is_refused(arguments):
    config = read_config(arguments, FinetuneConfig)
    with pytest.raises(ValueError, match="with names that differ"):
        few_labels(config, [read_arm("a=x"), read_arm("a=y")])
    with pytest.raises(ValueError, match="leave it out, and give an arm NAME=random:FOLDER"):
        few_labels(read_config([*arguments, "--model.weights=random"], FinetuneConfig), [read_arm("a=x")])
    for given in ("--seed=7", "--data.label_share=0.5", "--model.init=x"):
        with pytest.raises(ValueError, match="arms, shares and seeds determine it"):
            few_labels(read_config([*arguments, given], FinetuneConfig), [read_arm("a=x")])
    with pytest.raises(ValueError, match="jobs is 0: give 1 or more"):
        few_labels(config, [read_arm("a=x")], jobs=0)
    with pytest.raises(ValueError, match=r"shares is \[\] and seeds \[0\]: give one or more of each"):
        few_labels(config, [read_arm("a=x")], shares=[], seeds=[0])
    with pytest.raises(ValueError, match="the arm is 'a'"):
        read_arm("a")
    with pytest.raises(ValueError, match=r"data\.test is null and data\.test_share 0"):
        few_labels(
            read_config([*arguments, "--data.test=null", "--data.test_share=0"], FinetuneConfig),
            [read_arm("a=x")],
        )


def test_the_table_has_intervals_over_seeds(tmp_path):
    curves = {"a": {0.01: [0.2, 0.3, 0.4], 1.0: [0.8, 0.8, 0.8]}, "b": {1.0: [0.5]}}
    assert label_curve_table(curves).splitlines() == [
        "| | 1 % | 100 % |",
        "|---|---|---|",
        "| a | 30.0 ±24.8 | 80.0 ±0.0 |",
        "| b | - | 50.0 |",
    ]
    draw_label_curve(curves, tmp_path / "curve.png", 0.125)
    assert (tmp_path / "curve.png").exists()


def test_a_job_decides_whether_its_error_is_the_users():
    """Only the class and the message of an error pass between processes, not where it was raised."""
    with pytest.raises(ConfigError, match="reader is 'nobody': choose one of"):
        processes._run(check_reader, "nobody")
    with pytest.raises(ValueError, match="invalid literal") as bug:
        processes._run(int, "x")
    assert not isinstance(bug.value, ConfigError)
