"""What a message advises is accepted: every remedy is tried from the failed run on, in the same folder."""

import dataclasses
import json
import math
import os
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from tests.accelerate_state import fresh_accelerate
from tests.tiny_run import metrics
from vjepa.config import ConfigError
from vjepa.config.sections import SIGRegConfig
from vjepa.data.manifest import Video, read_manifest, write_manifest
from vjepa.objectives.jepa import JEPA
from vjepa.recipes.action.config import ActionConfig, ActionObjectiveConfig
from vjepa.recipes.finetune.config import FeaturesConfig, FinetuneConfig, GridConfig, StartConfig
from vjepa.recipes.pretrain.config import PretrainConfig
from vjepa.recipes.pretrain.preview import _too_large
from vjepa.recipes.pretrain.run import pretrain
from vjepa.training.errors import NonFiniteError
from vjepa.training.going_on import TABLE, Change, calmer_settings, change_of, changes, flat_settings
from vjepa.training.run_folder import RunFolder
from vjepa.training.unreadable import UnreadableVideosError

SHORT = ("--optim.steps=4", "--optim.warmup_steps=1", "--train.checkpoint_every=1")


@pytest.fixture
def go(tiny_config):
    """Run the tiny configuration with changes, as a process of its own would."""

    def run(*changes):
        fresh_accelerate()
        return pretrain(tiny_config("run", *SHORT, *changes))

    yield run
    fresh_accelerate()


def test_a_failed_start_bars_nothing(go, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothere\.csv"):
        go("--data.train=nothere.csv")
    # Nor does a run that ended before its first checkpoint.
    (tmp_path / "run" / "metrics.jsonl").write_text('{"step": 1, "loss": 9.0}\n')
    assert go("--optim.steps=1", "--seed=3")["steps"] == 1
    assert [record["step"] for record in metrics(tmp_path / "run")] == [1]


def test_a_list_without_broken_videos_or_a_higher_limit_lets_the_run_go_on(go, manifest, tmp_path, capsys):
    broken, listed, clean = (tmp_path / name for name in ("broken.mp4", "all.csv", "clean.csv"))
    broken.write_text("not a video")
    videos = read_manifest(manifest)
    write_manifest(listed, [*videos, Video(str(broken))])
    write_manifest(clean, videos)
    with pytest.raises(UnreadableVideosError, match=r"lists without them .* raise that limit"):
        go(f"--data.train={listed}", "--optim.steps=12")
    failed = sorted((tmp_path / "run" / "checkpoints").iterdir())[-1].name
    shutil.copytree(tmp_path / "run", tmp_path / "failed")

    assert go(f"--data.train={clean}", "--optim.steps=12")["steps"] == 12
    printed = capsys.readouterr().out
    assert f"data.train {listed} -> {clean}" in printed
    assert "11 rows before, 10 now" in printed
    assert metrics(tmp_path / "run")[-1]["unreadable"] == 0

    shutil.rmtree(tmp_path / "run")
    shutil.move(tmp_path / "failed", tmp_path / "run")
    assert go(f"--data.train={listed}", "--data.max_unreadable=0.1", "--optim.steps=12")["steps"] == 12
    assert "data.max_unreadable 0.01 -> 0.1" in capsys.readouterr().out
    assert metrics(tmp_path / "run")[-1]["unreadable"] == 1
    assert failed > "step_0000000"


def test_calmer_settings_let_a_run_go_on_after_a_loss_that_was_not_finite(go, tmp_path, monkeypatch, capsys):
    forward, calls = JEPA.forward, []

    def broken(self, batch):
        calls.append(None)
        outputs = forward(self, batch)
        return outputs | {"loss": outputs["loss"] * math.nan} if len(calls) == 4 else outputs

    monkeypatch.setattr(JEPA, "forward", broken)
    with pytest.raises(NonFiniteError) as error:
        go("--optim.lr=0.01")
    monkeypatch.undo()
    assert "of step 2. " in str(error.value)
    assert "lower optim.lr, lengthen optim.warmup_steps or lower optim.clip_grad" in str(error.value)
    before = metrics(tmp_path / "run")[:2]
    go("--optim.lr=0.001", "--optim.warmup_steps=2", "--optim.clip_grad=1", "--optim.betas=[0.8, 0.9]")
    assert metrics(tmp_path / "run")[:2] == before
    assert metrics(tmp_path / "run")[2]["lr"] == pytest.approx(0.001)
    assert "optim.lr 0.01 -> 0.001" in capsys.readouterr().out


def test_a_finished_run_is_left_alone_and_takes_more_steps_or_other_figures(go, manifest, tmp_path, capsys):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "elapsed.json").write_text('{"seconds": 1000.0}')  # of a process before
    summary = go("--optim.steps=2")
    assert summary["seconds"] > 1000
    files = {
        path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()
    }
    assert go("--optim.steps=2", "--train.log_every=2", "--output_dir=" + str(folder)) == summary
    assert "is finished: its metrics are in" in capsys.readouterr().out
    kept = {
        path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()
    }
    differing = {path.name for path in files.keys() | kept.keys() if files.get(path) != kept.get(path)}
    assert differing == {"config.yaml"}

    # No step is left that another rate could change, and the record must not say so.
    with pytest.raises(ValueError, match=r"taken all of its steps.*\(optim.lr: .* give more steps"):
        go("--optim.steps=2", "--optim.lr=0.4321")
    for file in (folder / "config.yaml", folder / "model" / "config.json"):
        assert "0.4321" not in file.read_text()

    parts = [tmp_path / "train.csv", tmp_path / "test.csv"]
    videos = read_manifest(manifest)
    write_manifest(parts[0], videos[:8])
    write_manifest(parts[1], videos[8:])
    probed = go("--optim.steps=2", f"--probe.train={parts[0]}", f"--probe.test={parts[1]}")
    assert set(probed["probe"]) == {"linear"}
    assert probed["final"] == summary["final"]

    longer = go(
        "--optim.steps=3", f"--probe.train={parts[0]}", f"--probe.test={parts[1]}", "--train.precision=bf16"
    )
    assert longer["steps"] == 3
    printed = capsys.readouterr().out
    assert "optim.steps 2 -> 3, train.precision None -> bf16" in printed
    # Too few steps are refused, and spoil nothing.
    with pytest.raises(ValueError, match=r"is at step 3 already.*: raise optim\.steps"):
        go("--optim.steps=2")

    assert json.loads((folder / "summary.json").read_text()) == longer

    # A model whose checkpoints are gone is not silently trained again.
    shutil.rmtree(folder / "checkpoints")
    with pytest.raises(ValueError, match=r"holds a model and no checkpoint to go on from: .* move"):
        go("--optim.steps=4")


def test_damaged_lines_of_the_metrics_are_cut(tmp_path, capsys):
    folder = RunFolder(tmp_path)
    folder.metrics.write_bytes(b'{"step": 1}\n{"st\n\xff\xfe\n[1]\n{"step": 2}\n{"step": 3}\n{"step": 4')
    folder.forget_after(2)
    assert folder.read_metrics() == [{"step": 1}, {"step": 2}]
    assert "4 damaged lines cut" in capsys.readouterr().out


def test_other_classes_are_another_run(tmp_path):
    folder = RunFolder(tmp_path)
    rows = [("/videos/a/1.mp4", "a"), ("/videos/b/1.mp4", "b")]
    assert list(folder.compare_sources(rows, ["a", "b"])) == []
    folder.model.mkdir()  # trained
    moved = [(path.replace("/videos", "/elsewhere"), label) for path, label in rows]
    assert list(folder.compare_sources(moved, ["a", "b"])) == []
    (said,) = folder.compare_sources(rows[::-1], ["a", "b"])
    assert "2 rows before, 2 now" in said
    with pytest.raises(
        ValueError, match=r"learnt 2 classes \(a, b\), and data\.train has 2 classes \(a, c\)"
    ):
        list(folder.compare_sources(rows, ["a", "c"]))


PROBE = FinetuneConfig(model=StartConfig(tune="none"), grid=GridConfig())


@pytest.mark.parametrize(
    "config", [PretrainConfig(), FinetuneConfig(), PROBE], ids=["pretrain", "finetune", "grid"]
)
def test_all_that_messages_advise_may_change(config):
    keys = {word.strip(",") for word in calmer_settings(config).split() if "." in word}
    assert len(keys) == (2 if config is PROBE else 3)
    assert keys <= set(flat_settings(asdict(config)))
    assert all(change_of(key) is Change.SAID for key in keys)
    for key in (
        "data.train",
        "data.images",
        "data.max_unreadable",
        "probe.test",
        "data.test",
        "data.val",
        "optim.steps",
    ):
        assert change_of(key) is not Change.ANOTHER_RUN


def test_heads_of_a_grid_neither_come_nor_go():
    (change,) = changes({"grid": {"lr": [0.1, 0.2]}}, {"grid": {"lr": [0.1, 0.05]}})
    assert change.kind is Change.SAID
    (change,) = changes({"grid": {"lr": [0.1, 0.2]}}, {"grid": {"lr": [0.1]}})
    assert change.kind is Change.ANOTHER_RUN


def test_a_list_to_test_on_is_not_replaced_by_videos_that_were_trained_on():
    (change,) = changes({"data": {"test": "a.csv"}}, {"data": {"test": "b.csv"}})
    assert change.kind is Change.METRICS
    (change,) = changes({"data": {"test": "a.csv"}}, {"data": {"test": None}})
    assert change.kind is Change.ANOTHER_RUN


def test_the_table_names_settings_that_there_are_and_the_documents_say_the_same():
    page = Path("docs/pages/tutorials/own_videos.md").read_text()
    start = page.index("| settings | when the run goes on |")
    rows = page[start : page.index("\n\n", start)].splitlines()[2:]
    features = dataclasses.replace(PROBE, features=FeaturesConfig())
    action = ActionConfig(objective=ActionObjectiveConfig(sigreg=SIGRegConfig()))
    keys = {key for config in (PretrainConfig(), features, action) for key in flat_settings(asdict(config))}
    for key, change in TABLE.items():
        row = [Change.FREE, Change.METRICS, Change.SAID, Change.ANOTHER_RUN].index(change)
        assert f"`{key}`" in rows[row]
        assert any(one == key or one.startswith(key + ".") for one in keys)
    assert (
        change_of("seed")
        is change_of("masks.multiblock")
        is change_of("predictor.embed_dim")
        is Change.ANOTHER_RUN
    )


def test_tensors_that_do_not_fit_are_warned_of_and_several_times_too_many_are_refused():
    room = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert _too_large(0.5 * room, torch.device("cpu")) == []
    (warning,) = _too_large(1.5 * room, torch.device("cpu"))
    assert (
        f"needs about {1.5 * room / 1e9:.0f} GB of tensors, and a process has {room / 1e9:.0f} GB" in warning
    )
    with pytest.raises(ConfigError, match="one step needs about 1000000000 GB of tensors"):
        _too_large(1e18, torch.device("cpu"))
