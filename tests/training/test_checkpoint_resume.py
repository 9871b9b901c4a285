"""N steps are k steps, an end of any kind, and N - k steps: the same bytes."""

import gc
import os
import random
import signal
import sys
import time
import traceback

import pytest

import vjepa.commands.pretrain
from tests.accelerate_state import fresh_accelerate
from tests.tiny_run import STEPS, metrics, result_bytes
from vjepa.recipes.pretrain.run import pretrain
from vjepa.training.stop import Stopped
from vjepa.training.trainer import Trainer


def forked(arguments):
    """The process of a run, a fork of this one: a kill costs no second of imports."""
    child = os.fork()
    if child == 0:
        gc.freeze()
        status = 1
        try:
            status = vjepa.commands.pretrain.main(arguments)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    return child


def ended(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_stopping_and_going_on_changes_no_byte(tiny_config, tmp_path, monkeypatch, capsys):
    pretrain(tiny_config("whole"))
    fresh_accelerate()

    step = Trainer._train_step

    def stop_in_the_middle(trainer, batches, request):
        request.requested = trainer.step == 4
        return step(trainer, batches, request)

    monkeypatch.setattr(Trainer, "_train_step", stop_in_the_middle)
    with pytest.raises(Stopped) as stopped:
        pretrain(tiny_config("parts"))
    monkeypatch.undo()
    # Asked during the fifth step, it is the last.
    assert stopped.value.step == 5
    fresh_accelerate()
    # Other processes make the batches: nothing may depend on it.
    pretrain(tiny_config("parts", "--data.num_workers=2"))
    assert f"goes on after step 5 of {STEPS}\n" in capsys.readouterr().out

    expected, actual = result_bytes(tmp_path / "whole"), result_bytes(tmp_path / "parts")
    assert expected.keys() == actual.keys()
    differing = [name for name in expected if expected[name] != actual[name] and name != "model/config.json"]
    assert not differing
    assert metrics(tmp_path / "whole") == metrics(tmp_path / "parts")


@pytest.mark.slow
def test_kill_at_random_instants_changes_no_byte(tiny_arguments, tmp_path):
    """Many kills (SIGKILL) of one run, most of them while it trains or saves.

    A life ends after a random number of milliseconds, counted from its start or from its first step.
    """
    lives = 22
    changes = (f"--optim.steps={5 * lives}", "--train.checkpoint_every=1")
    assert ended(forked(tiny_arguments("whole", *changes))) == 0
    rng, log = random.Random(0), tmp_path / "killed" / "metrics.jsonl"
    statuses = []
    for life in range(lives):
        before, deadline = size_of(log), time.monotonic() + 60
        child = forked(tiny_arguments("killed", *changes))
        while life % 4 and size_of(log) == before and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.15))
        os.kill(child, signal.SIGKILL)
        statuses.append(ended(child))
    assert statuses.count(-signal.SIGKILL) >= lives - 2
    assert ended(forked(tiny_arguments("killed", *changes))) == 0
    assert result_bytes(tmp_path / "whole").keys() == result_bytes(tmp_path / "killed").keys()
    expected, actual = result_bytes(tmp_path / "whole"), result_bytes(tmp_path / "killed")
    assert not [name for name in expected if expected[name] != actual[name] and name != "model/config.json"]
    assert metrics(tmp_path / "whole") == metrics(tmp_path / "killed")
    assert not list((tmp_path / "killed" / "checkpoints").glob("partial_*"))


def size_of(file):
    return file.stat().st_size if file.exists() else 0


def test_a_run_does_not_go_on_with_another_configuration(tiny_config):
    pretrain(tiny_config("run", "--optim.steps=3"))
    fresh_accelerate()
    with pytest.raises(ValueError, match=r"predictor\.embed_dim: 12 there, 24 here"):
        pretrain(tiny_config("run", "--optim.steps=3", "--predictor.embed_dim=24"))


def test_old_checkpoints_make_room(tiny_config, tmp_path):
    pretrain(tiny_config("run", "--train.checkpoint_every=2", "--train.keep_checkpoints=3"))
    kept = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert kept == [f"step_{step:07d}" for step in (STEPS - 4, STEPS - 2, STEPS)]
