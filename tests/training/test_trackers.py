"""What trackers show, read with their own packages, offline."""

import sqlite3
import sys

import pytest

from vjepa.recipes.pretrain.run import pretrain
from vjepa.training.trackers import check_trackers

SHORT = ("--optim.steps=2", "--optim.warmup_steps=1")


def test_tensorboard_has_curves_configuration_and_the_plot_of_one_run(tiny_config, tmp_path):
    from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer

    pretrain(tiny_config("run", *SHORT, "--train.trackers=[tensorboard]"))
    runs = EventMultiplexer().AddRunsFromDirectory(str(tmp_path)).Reload()
    assert list(runs.Runs()) == ["run/vjepa"]
    held = runs.Runs()["run/vjepa"]
    assert {"loss", "target/rank", "memory_gb", "lr"} <= set(held["scalars"])
    assert [event.step for event in runs.Scalars("run/vjepa", "loss")] == [1, 2]
    assert held["images"] == ["report"]
    (text,) = runs.Tensors("run/vjepa", "config/text_summary")
    assert b"batch_size: 4" in text.tensor_proto.string_val[0]


def test_wandb_has_them_offline(tiny_config, tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb", reason="wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    pretrain(tiny_config("run", *SHORT, "--train.trackers=[wandb]"))
    assert wandb.run is None, "the run was not closed"
    (folder,) = (tmp_path / "run" / "wandb").glob("offline-run-*")
    (log,) = folder.glob("*.wandb")
    written = log.read_bytes()
    assert all(name in written for name in (b"target/rank", b"memory_gb", b"batch_size"))
    assert list(folder.rglob("report_*.png"))


def test_trackio_has_them_in_its_project(tiny_config, tmp_path, monkeypatch):
    pytest.importorskip("trackio", reason="trackio is not installed")
    places = {"TRACKIO_DIR": tmp_path / "trackio", "MEDIA_DIR": tmp_path / "trackio" / "media"}
    for module in [module for name, module in sys.modules.items() if name.split(".")[0] == "trackio"]:
        for name in places.keys() & vars(module).keys():
            monkeypatch.setattr(module, name, places[name])
    pretrain(tiny_config("run", *SHORT, "--train.trackers=[trackio]"))
    (database,) = (tmp_path / "trackio").rglob("vjepa*.db")
    with sqlite3.connect(database) as table:
        rows = table.execute("select run_name, metrics from metrics").fetchall()
    assert {name for name, _ in rows} == {"run"}
    assert any("target/rank" in str(metrics) for _, metrics in rows)
    assert list((tmp_path / "trackio").rglob("*.png"))


def test_a_tracker_that_is_missing_or_unknown_is_refused(monkeypatch):
    with pytest.raises(ValueError, match=r"'tensorbord': give some of .*tensorboard.*wandb"):
        check_trackers(["tensorbord"])
    monkeypatch.setattr("vjepa.training.trackers.get_available_trackers", list)
    with pytest.raises(ValueError, match="wandb, which is not installed: pip install wandb, or leave it out"):
        check_trackers(["wandb"])
