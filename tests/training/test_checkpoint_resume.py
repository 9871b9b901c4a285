"""N steps are k steps, an end of any kind, and N - k steps: the same bytes."""

import os
import subprocess
import sys

import pytest

from tests.accelerate_state import fresh_accelerate
from tests.tiny_run import STEPS, metrics, result_bytes
from vjepa.recipes.pretrain.run import pretrain
from vjepa.training.stop import Stopped
from vjepa.training.trainer import Trainer

# The parent imports everything once and each run is a fork of it: a kill costs no second of imports.
# A life ends by SIGKILL after a random number of milliseconds, counted from its start or from its first step.
FORKED_LIVES = """
import os, random, signal, sys, time
import torch
torch.set_num_threads(1)
import vjepa.commands.pretrain, torchvision.transforms.v2
lives, metrics, *arguments = sys.argv[1:]
rng = random.Random(0)
size = lambda: os.path.getsize(metrics) if os.path.exists(metrics) else 0
for life in range(int(lives) + 1):
    before, child = size(), os.fork()
    if child == 0:
        os._exit(vjepa.commands.pretrain.main(arguments))
    if life == int(lives):
        print("status", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        break
    while life % 4 and size() == before:
        time.sleep(0.001)
    time.sleep(rng.uniform(0, 0.15))
    os.kill(child, signal.SIGKILL)
    print("killed", -os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == signal.SIGKILL)
"""


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


@pytest.mark.parametrize("lives", [4, pytest.param(22, marks=pytest.mark.slow)])
def test_kill_at_random_instants_changes_no_byte(lives, tiny_arguments, tmp_path):
    """Many kills (SIGKILL) of one run, most of them while it trains or saves."""
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1"}

    def run(folder, lives, steps=5 * lives):
        arguments = tiny_arguments(folder, f"--optim.steps={steps}", "--train.checkpoint_every=1")
        command = [sys.executable, "-c", FORKED_LIVES, str(lives), str(tmp_path / folder / "metrics.jsonl")]
        return subprocess.run(
            [*command, *arguments], env=environment, capture_output=True, text=True, timeout=240, check=False
        )

    undisturbed = run("whole", 0)
    assert "status 0" in undisturbed.stdout, undisturbed.stderr
    killed = run("killed", lives)
    assert "status 0" in killed.stdout, killed.stderr
    assert killed.stdout.count("killed True") >= lives - 2
    assert result_bytes(tmp_path / "whole").keys() == result_bytes(tmp_path / "killed").keys()
    expected, actual = result_bytes(tmp_path / "whole"), result_bytes(tmp_path / "killed")
    assert not [name for name in expected if expected[name] != actual[name] and name != "model/config.json"]
    assert metrics(tmp_path / "whole") == metrics(tmp_path / "killed")
    assert not list((tmp_path / "killed" / "checkpoints").glob("partial_*"))


def test_a_run_does_not_go_on_with_another_configuration(tiny_config):
    pretrain(tiny_config("run", "--optim.steps=3"))
    fresh_accelerate()
    with pytest.raises(ValueError, match=r"predictor\.embed_dim: 12 there, 24 here"):
        pretrain(tiny_config("run", "--optim.steps=3", "--predictor.embed_dim=24"))


def test_old_checkpoints_make_room(tiny_config, tmp_path):
    pretrain(tiny_config("run", "--train.checkpoint_every=2", "--train.keep_checkpoints=3"))
    kept = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert kept == [f"step_{step:07d}" for step in (STEPS - 4, STEPS - 2, STEPS)]
