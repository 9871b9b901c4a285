"""A run that is measured keeps its best weights and knows when to end; kills and resumes change nothing.

The values that are measured stand in a table by step, so that which step is best is known beforehand.
"""

import itertools
import json
import shutil

import pytest
from safetensors.torch import load_file

from tests.accelerate_state import fresh_accelerate
from tests.tiny_run import CLOCK, STEPS, metrics, result_bytes
from vjepa.data.manifest import read_manifest, write_manifest
from vjepa.recipes.pretrain import run
from vjepa.recipes.pretrain.online import OnlineProbe
from vjepa.training import checkpoint
from vjepa.training.measurements import Measurements
from vjepa.training.stop import Stopped
from vjepa.training.trainer import Trainer

VALUES = {2: 0.2, 4: 0.6, 6: 0.3, 8: 0.1, 10: 0.5, 12: 0.4}
ONE = "--train.keep_checkpoints=1"
BEST = "--train.keep_best=true"


@pytest.fixture
def labelled(manifest, tmp_path):
    """Settings of an online probe on ten videos of two classes."""
    videos = read_manifest(manifest)
    lists = {"train": videos[:8], "test": videos[8:]}
    for name, listed in lists.items():
        lists[name] = [type(v)(v.path, label=str(n % 2)) for n, v in enumerate(listed)]
        write_manifest(tmp_path / f"{name}.csv", lists[name])
    given = [f"--probe.{name}={tmp_path / name}.csv" for name in lists]
    return (*given, "--probe.online=knn", "--probe.every=2", "--train.checkpoint_every=100")


@pytest.fixture
def measured(monkeypatch):
    """Replace what is measured by values that are known for each step."""
    now, take_step = {}, Trainer._train_step

    def follow(trainer, *arguments):
        report = take_step(trainer, *arguments)
        now["step"] = trainer.step
        return report

    def set_values(values):
        monkeypatch.setattr(Trainer, "_train_step", follow)
        monkeypatch.setattr(OnlineProbe, "__call__", lambda *_: values[now["step"]])

    set_values(VALUES)
    return set_values


@pytest.fixture
def go(tiny_config, labelled, measured, monkeypatch):
    """Run the tiny configuration with changes, as a process of its own would.

    What surrounds the training (the outline, the plot, the probes at the end) is left out: it takes longest.
    """
    monkeypatch.setattr(run, "describe_run", lambda *_: "")
    monkeypatch.setattr(run, "draw_report", lambda *_: None)
    monkeypatch.setattr(run, "probe_encoders", lambda *_: ({}, {}))

    def start(folder, *changes):
        fresh_accelerate()
        return run.pretrain(tiny_config(folder, *labelled, *changes))

    return start


def checkpoints(folder):
    return sorted(int(path.name.removeprefix("step_")) for path in (folder / "checkpoints").glob("step_*"))


def weights(path):
    return {name: tensor.numpy().tobytes() for name, tensor in load_file(path / "model.safetensors").items()}


def unhurried(summary):
    """What a summary says, without what the clock says."""
    final = {key: value for key, value in summary["final"].items() if key not in CLOCK}
    timed = ("seconds", "clips_per_second", "final")
    return {key: value for key, value in summary.items() if key not in timed} | final


def stop_after(step, monkeypatch):
    """Ask the run to stop while it takes a step."""
    take = Trainer._train_step

    def stopping(trainer, batches, request):
        request.requested = trainer.step == step - 1
        return take(trainer, batches, request)

    monkeypatch.setattr(Trainer, "_train_step", stopping)


def test_the_model_has_the_weights_of_the_best_measured_step(go, tiny_config, tmp_path):
    summary = go("best", BEST, ONE)
    fresh_accelerate()
    # A run without any probe, whose checkpoint of the same step is the witness.
    run.pretrain(tiny_config("plain", "--train.checkpoint_every=4", "--train.keep_checkpoints=9"))
    assert weights(tmp_path / "best/model") == weights(tmp_path / "plain/checkpoints/step_0000004")
    assert weights(tmp_path / "plain/model") != weights(tmp_path / "best/model")
    assert summary["model_step"] == 4
    assert summary["online_probe"]["best"] == {"step": 4, "value": 0.6}
    assert summary["online_probe"]["last"] == {"step": 12, "value": 0.4}
    assert summary["steps"] == STEPS
    assert "ended_early" not in summary
    assert checkpoints(tmp_path / "best") == [4, 12]
    recorded = {r["step"]: r["probe/knn"] for r in metrics(tmp_path / "best") if "probe/knn" in r}
    assert recorded == VALUES
    assert go("last", ONE)["model_step"] == 12
    assert weights(tmp_path / "last/model") == weights(tmp_path / "plain/model")


def killed_in(name, number, monkeypatch):
    """Let the call of that number of a function of the checkpoints end the process, as a kill would."""
    calls, function = itertools.count(1), getattr(checkpoint, name)

    def dying(*arguments):
        if next(calls) == number:
            raise KeyboardInterrupt
        return function(*arguments)

    monkeypatch.setattr(checkpoint, name, dying)


# The checkpoints of this run are those of steps 2, 3, 4, 6, 9 and 12; those of 2 and 4 are new bests.
@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("_to_disk", 3),
        ("_remove", 1),
        pytest.param("_to_disk", 1, marks=pytest.mark.slow),
        pytest.param("_to_disk", 5, marks=pytest.mark.slow),
        pytest.param("_remove", 2, marks=pytest.mark.slow),
        pytest.param("_remove", 3, marks=pytest.mark.slow),
    ],
)
def test_a_kill_at_any_checkpoint_changes_no_byte(name, number, go, tmp_path, monkeypatch):
    settings = (BEST, ONE, "--train.checkpoint_every=3")
    whole = go("whole", *settings)
    with monkeypatch.context() as patched:
        killed_in(name, number, patched)
        with pytest.raises(KeyboardInterrupt):
            go("killed", *settings)
    assert unhurried(go("killed", *settings)) == unhurried(whole)
    assert checkpoints(tmp_path / "killed") == checkpoints(tmp_path / "whole") == [4, 12]
    expected, actual = result_bytes(tmp_path / "whole"), result_bytes(tmp_path / "killed")
    differing = [key for key in expected if expected[key] != actual[key] and key != "model/config.json"]
    assert not differing
    assert metrics(tmp_path / "whole") == metrics(tmp_path / "killed")


def test_the_best_checkpoint_of_an_older_checkpoint_stays(go, tmp_path, measured, capsys):
    """If the newest checkpoint is damaged, the run goes on from the one before, with the best it knew."""
    measured({2: 0.5, 4: 0.4, 6: 0.3, 8: 0.7, 10: 0.2, 12: 0.1})
    settings = (BEST, "--train.keep_checkpoints=2", "--train.checkpoint_every=4", "--optim.steps=8")
    go("run", *settings, "--optim.warmup_steps=3")
    assert checkpoints(tmp_path / "run") == [2, 4, 8]
    (tmp_path / "run/checkpoints/step_0000008/optimizer.bin").write_bytes(b"")
    shutil.rmtree(tmp_path / "run/model")
    summary = go("run", *settings)
    assert "goes on after step 4 of 8" in capsys.readouterr().out
    assert summary["online_probe"]["best"] == {"step": 8, "value": 0.7}
    measured({2: 0.5, 4: 0.4, 6: 0.3, 8: 0.2})
    (tmp_path / "run/checkpoints/step_0000008/optimizer.bin").write_bytes(b"")
    shutil.rmtree(tmp_path / "run/model")
    assert go("run", *settings)["model_step"] == 2


def test_patience_ends_a_run_early_and_more_of_it_lets_the_run_go_on(go, tmp_path, capsys, monkeypatch):
    go("whole")
    summary = go("run", "--train.patience=2")
    assert summary["steps"] == 8
    assert summary["clips"] == 8 * 4
    assert summary["model_step"] == 8
    assert summary["ended_early"] == (
        "ended early at step 8: probe/knn was best at step 4 with 0.6, and 2 measurements since then were "
        "not better (train.patience 2), the last with 0.1"
    )
    assert summary["ended_early"] in capsys.readouterr().out
    assert json.loads((tmp_path / "run/summary.json").read_text()) == summary
    whole = metrics(tmp_path / "whole")
    # The schedules are not stretched, nor anything else: the run is the first part of the whole one.
    assert metrics(tmp_path / "run") == whole[:8]
    assert checkpoints(tmp_path / "run") == [8]
    assert go("run", "--train.patience=2") == summary
    assert "is finished" in capsys.readouterr().out

    further = go("run")
    assert further["steps"] == STEPS
    assert "ended_early" not in further
    assert metrics(tmp_path / "run") == whole
    assert weights(tmp_path / "run/model") == weights(tmp_path / "whole/model")


def test_an_early_end_that_was_interrupted_is_still_the_end(go, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patched:
        stop_after(8, patched)
        with pytest.raises(Stopped):
            go("run", "--train.patience=2", BEST)
    summary = go("run", "--train.patience=2", BEST)
    assert "goes on after step 8 of 12: ended early at step 8" in capsys.readouterr().out
    assert (summary["steps"], summary["model_step"]) == (8, 4)
    assert [record["step"] for record in metrics(tmp_path / "run")] == list(range(1, 9))
    assert weights(tmp_path / "run/model") == weights(tmp_path / "run/checkpoints/step_0000004")


def test_a_best_checkpoint_that_was_not_kept_is_not_made_up(go, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patched:
        stop_after(7, patched)
        with pytest.raises(Stopped):
            go("run", ONE)
    shutil.copytree(tmp_path / "run", tmp_path / "other")
    summary = go("run", ONE, BEST)
    assert (
        "measurements up to step 7 no longer count: the checkpoint of step 4, the best of them, was not kept"
        in capsys.readouterr().out
    )
    assert summary["online_probe"]["best"] == {"step": 10, "value": 0.5}
    assert summary["model_step"] == 10

    assert go("other", ONE)["model_step"] == 12
    with pytest.raises(ValueError, match=r"step_0000004 cannot be used, .*: .* train.keep_best to false"):
        go("other", ONE, BEST)
    assert go("other", ONE)["model_step"] == 12


def test_a_damaged_best_checkpoint_ends_the_run_with_a_remedy(go, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        stop_after(7, patched)
        with pytest.raises(Stopped):
            go("run", BEST)
    model = tmp_path / "run/checkpoints/step_0000004/model.safetensors"
    model.write_bytes(model.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"model.safetensors and checksums.json do not agree: bring it back"):
        go("run", BEST)
    assert go("run")["model_step"] == 12


def test_a_run_that_took_its_steps_unmeasured_has_no_best(go, tmp_path):
    go("run", "--probe.online=null")
    with pytest.raises(ValueError, match="took all of its steps without a measurement"):
        go("run", BEST)
    summary = go("run")
    assert "online_probe" not in summary


def test_other_videos_are_another_measurement(go, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patched:
        stop_after(7, patched)
        with pytest.raises(Stopped):
            go("run", BEST)
    videos = read_manifest(tmp_path / "train.csv")
    write_manifest(tmp_path / "fewer.csv", videos[:6])
    summary = go("run", BEST, f"--probe.train={tmp_path / 'fewer.csv'}")
    printed = capsys.readouterr().out
    assert "measurements up to step 7 no longer count: what is measured has changed" in printed
    assert summary["model_step"] == 10


def test_equal_values_are_no_improvement():
    measurements = Measurements("x", lambda *_: 0.0, subject="", every=5, keep_best=True, patience=3)
    for step in (5, 10, 15):
        measurements.add(step, 0.5)
    assert not measurements.exhausted
    measurements.add(20, 0.5)
    assert measurements.exhausted
    assert measurements.best.step == measurements.needed_by(20) == 5
    assert measurements.needed_by(4) is None
    again = Measurements("x", lambda *_: 0.0, subject="", every=5)
    assert again.restore(json.loads(json.dumps(measurements.state())))
    assert again.history == measurements.history
    assert again.needed_by(20) is None


def test_what_is_due():
    measurements = Measurements("x", lambda *_: 0.0, subject="", every=5)
    assert [step for step in range(1, 14) if measurements.due(step, 13)] == [5, 10, 13]
    assert not any(Measurements.none().due(step, 13) for step in range(1, 14))
