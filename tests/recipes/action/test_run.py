"""World models with actions: what they learn, that they go on where they were, and what they refuse."""

import importlib
import json
import sys
from functools import partial

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

pytest.importorskip("gymnasium")

from tests.accelerate_state import fresh_accelerate
from tests.precision_watch import precisions
from tests.tiny_run import metrics, result_bytes
from tests.training.processes import forked_processes, two_processes
from tests.weights.released.files import vjepa2_ac_file
from vjepa.commands.action import main as action_tool
from vjepa.commands.exam import main as exam
from vjepa.commands.plan import main as plan
from vjepa.config import ConfigError, read_config
from vjepa.data.trajectories.collect import POLICIES, collect
from vjepa.environments.make import make_env
from vjepa.evaluation.probes import frame_decoder, state
from vjepa.evaluation.probes.pixels import train_pixel_decoder
from vjepa.models.video_model import VideoModel
from vjepa.recipes.action import run as action_run
from vjepa.recipes.action.config import ActionConfig
from vjepa.recipes.action.run import train_action_model
from vjepa.training.stop import Stopped
from vjepa.training.trainer import Trainer
from vjepa.weights import model_folder
from vjepa.weights.model_folder import load_action_model, save_pretrained

CONFIG = {
    "encoder": {"embed_dim": 24, "depth": 2, "num_heads": 2, "tubelet": [2, 8, 8]},
    "pixels": {"mean": [0.5] * 3, "std": [0.25] * 3},
}
LEARNING = (
    "--encoder.size=nano",
    "--encoder.embed_dim=24",
    "--encoder.num_heads=2",
    "--encoder.depth=1",
    "--encoder.tubelet=[1, 8, 8]",
    "--encoder.positions=sincos",
    "--frames={pool: flatten, embed_dim: 16}",
    "--objective.vicreg={places: null}",
    "--objective.inverse=1",
    "--objective.smoothness=0.1",
)


@pytest.fixture(autouse=True)
def _quick_probes(monkeypatch):
    """Probes, which plots and plans need, need not be good here."""
    monkeypatch.setattr(state, "STEPS", 50)
    monkeypatch.setattr(frame_decoder, "STEPS", 20)
    monkeypatch.setattr(frame_decoder, "train_pixel_decoder", partial(train_pixel_decoder, steps=20))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Episodes of a point mass, and a model folder with random weights."""
    folder = tmp_path_factory.mktemp("episodes")
    for part, seed, count in (("train", 0, 8), ("test", 1, 4)):
        env = make_env("point_mass", 4, 16, 14, ends=False)
        collect(folder / part, env, POLICIES["random"], episodes=count, steps=14, seed=seed)
    torch.manual_seed(0)
    save_pretrained(folder / "model", VideoModel(CONFIG).state_dict(), CONFIG)
    return folder


@pytest.fixture
def arguments(folder, tmp_path):
    def arguments(name="run", *changes):
        return [
            f"--output_dir={tmp_path / name}",
            f"--data.train={folder / 'train'}",
            "--data.window={frames: 4, skip: 2}",
            "--data.size=16",
            "--data.num_workers=0",
            "--dynamics={embed_dim: 24, depth: 1, num_heads: 2}",
            "--optim.steps=8",
            "--optim.batch_size=8",
            "--optim.warmup_steps=2",
            "--train.log_every=1",
            "--train.checkpoint_every=3",
            "--train.trackers=[]",
            "--train.device=cpu",
            "--train.threads=1",
            *changes,
        ]

    return arguments


@pytest.fixture
def run(arguments):
    def run(name, *changes):
        fresh_accelerate()
        return train_action_model(read_config(arguments(name, *changes), ActionConfig))

    return run


FROZEN = ("--data.states=true",)


@pytest.mark.parametrize("way", ["frozen", "learning", "sigreg"])
def test_stopping_and_going_on_changes_no_byte(way, run, folder, tmp_path, monkeypatch):
    changes = {
        "frozen": (*FROZEN, f"--init={folder / 'model'}"),
        "learning": LEARNING,
        "sigreg": (*LEARNING, "--objective.vicreg=null", "--objective.sigreg={}"),
    }[way]
    run("whole", *changes)
    step = Trainer._train_step

    def stop_in_the_middle(trainer, batches, request):
        request.requested = trainer.step == 3
        return step(trainer, batches, request)

    monkeypatch.setattr(Trainer, "_train_step", stop_in_the_middle)
    with pytest.raises(Stopped):
        run("parts", *changes)
    monkeypatch.undo()
    run("parts", *changes, "--data.num_workers=2")
    expected, actual = result_bytes(tmp_path / "whole"), result_bytes(tmp_path / "parts")
    assert expected.keys() == actual.keys()
    assert not [name for name in expected if expected[name] != actual[name] and name != "model/config.json"]
    assert metrics(tmp_path / "whole") == metrics(tmp_path / "parts")


def test_a_frozen_encoder_stays_and_its_tokens_may_lie_on_the_disk(run, folder, tmp_path):
    changes = (*FROZEN, f"--init={folder / 'model'}", "--objective.rollout.states=true")
    summary = run("live", *changes, f"--data.test={folder / 'test'}")
    weights = load_file(tmp_path / "live" / "model" / "model.safetensors")
    before = load_file(folder / "model" / "model.safetensors")
    assert all(
        torch.equal(weights[name], tensor) for name, tensor in before.items() if name.startswith("encoder.")
    )
    run("cached", *changes, f"--data.features={tmp_path / 'features'}")
    assert len(list((tmp_path / "features").iterdir())) == 8
    live, cached = ([record["loss"] for record in metrics(tmp_path / name)] for name in ("live", "cached"))
    np.testing.assert_allclose(live, cached, rtol=2e-3)  # tokens on the disk are of half precision
    assert {"prediction", "rollout", "state"} <= summary["final"].keys()
    assert len(summary["imagination"]["state_r2"]) == 1  # three frames are looked back on, one is imagined
    assert (tmp_path / "live" / "imagination.png").stat().st_size > 10_000


def test_the_frozen_model_is_read_once(run, folder, tmp_path, monkeypatch):
    read = []
    load = model_folder.load_tensors
    monkeypatch.setattr(model_folder, "load_tensors", lambda path: read.append(path) or load(path))
    run("once", *FROZEN, f"--init={folder / 'model'}", "--optim.steps=1", "--optim.warmup_steps=0")
    assert read == [folder / "model" / "model.safetensors"]


def test_dynamics_may_be_learnt_anew_on_a_world_model_s_frames(run, tmp_path):
    """The second stage: embedding and pooling stay, and every frame is embedded once."""
    run("first", *LEARNING)
    again = (f"--init={tmp_path / 'first'}", "--dynamics.depth=2")
    run("live", *again)
    run("cached", *again, f"--data.features={tmp_path / 'features'}")
    live, cached = ([record["loss"] for record in metrics(tmp_path / name)] for name in ("live", "cached"))
    np.testing.assert_allclose(live, cached, rtol=2e-3)
    first, second = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("first", "live"))
    kept = [name for name in first if name.startswith(("encoder.", "projector."))]
    assert any(name.startswith("projector.") for name in kept)
    assert all(torch.equal(first[name], second[name]) for name in kept)
    model, config = load_action_model(tmp_path / "live")
    assert (model.pool, model.normalised, config["dynamics"]["depth"]) == ("flatten", False, 2)


@pytest.mark.slow
def test_two_processes_are_one(run, arguments, tmp_path):
    run("one", *LEARNING)
    two = two_processes("tools/action.py", *arguments("two", *LEARNING))
    assert two.returncode == 0, two.stderr
    for ours, theirs in zip(metrics(tmp_path / "one"), metrics(tmp_path / "two"), strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-4)


def test_statistics_travel_with_the_model(run, folder, tmp_path):
    run("run", *LEARNING)
    model, config = load_action_model(tmp_path / "run")
    actions = [np.load(path)["actions"][:-1] for path in sorted((folder / "train").glob("*.npz"))]
    pairs = np.concatenate([np.concatenate([one[:-1], one[1:]], axis=1) for one in actions])
    np.testing.assert_allclose(model.action_mean.numpy(), pairs.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(model.action_std.numpy(), pairs.std(axis=0), atol=1e-5)
    assert config["trajectories"] == {"frames": 4, "skip": 2, "combine": "concat"}
    standard = model.standardise_actions(torch.from_numpy(pairs))
    assert standard.mean(dim=0).abs().max() < 1e-4


def test_it_is_planned_with(run, tmp_path, capsys, monkeypatch):
    run("run", *LEARNING)
    command = ["--model", str(tmp_path / "run"), "--env", "point_mass", "--episodes", "3", "--steps", "6"]
    assert (
        plan(
            [*command, "--horizon", "2", "--cem.samples", "20", "--cem.elites", "4", "--cem.iterations", "2"]
        )
        == 0
    )
    said = capsys.readouterr().out
    for name in ("model", "random", "copy_last", "oracle"):
        assert f"\n{name}" in said
    metrics = json.loads((tmp_path / "run" / "planning.json").read_text())
    assert metrics["model"]["interval"][0] <= metrics["model"]["success"] <= metrics["model"]["interval"][1]
    assert (tmp_path / "run" / "planning.mp4").stat().st_size > 1000
    assert (metrics["episodes"], metrics["planning"]["horizon"]) == (3, 2)
    assert plan([*command, "--planner", "gradient", "--policies", "model", "oracle"]) == 2
    assert "--policies has oracle, whose costs have no gradient" in capsys.readouterr().err
    quick = ("--horizon", "2", "--cem.samples", "20", "--cem.elites", "4", "--cem.iterations", "1")
    for distance in ("inverse", "probe"):
        assert plan([*command, *quick, "--policies", "model", "--distance", distance]) == 0
    torch.save({**vjepa2_ac_file(), "vjepa": {"num_heads": {"predictor": 1}}}, tmp_path / "ac.pt")
    assert plan(["--model", str(tmp_path / "ac.pt"), *command[2:]]) == 2
    assert "holds released weights" in capsys.readouterr().err
    assert plan([*command, "--horizn", "2"]) == 2
    assert "did you mean 'horizon'?" in capsys.readouterr().err
    assert plan(["--model", str(tmp_path / "nothing"), "--env", "point_mass"]) == 2
    monkeypatch.setattr("vjepa.weights.model_folder.download", lambda name: tmp_path / "run")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for _ in range(2):  # the results do not take the name of a model of the hub
        assert plan(["--model", "acme/model", *command[2:], *quick, "--policies", "random"]) == 0
    assert (tmp_path / "here" / "acme-model" / "planning.json").exists()
    monkeypatch.setattr("vjepa.commands.plan.run_episodes", None)
    assert plan([*command, *quick, "--film", str(tmp_path)]) == 2  # before the work
    assert plan(["--model", str(tmp_path / "run")]) == 2
    assert "give --env" in capsys.readouterr().err
    assert plan([*command[:2], "--env", "desert"]) == 2
    assert "there is no environment 'desert'" in capsys.readouterr().err


def test_all_of_a_run_and_its_plans_compute_in_one_precision(run, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(action_run, "draw_imagination", lambda *_: None)  # It trains a network of its own.
    frozen = (*FROZEN, f"--init={folder / 'model'}", f"--data.features={tmp_path / 'features'}")
    with precisions() as seen:
        run("frozen", *frozen, f"--data.test={folder / 'test'}", "--train.precision=bf16")
        run("run", *LEARNING, "--train.precision=bf16")
        planned = ["--env", "point_mass", "--episodes", "2", "--steps", "3", "--horizon", "1"]
        planned += ["--policies", "model", "--precision", "bf16"]
        assert plan(["--model", str(tmp_path / "run"), *planned]) == 0
    assert set(seen) == {torch.bfloat16}


def test_it_is_examined(run, folder, tmp_path, capsys):
    """The exam of a model on its test episodes finds what the run found at its end."""
    found = run("run", *LEARNING, f"--data.test={folder / 'test'}")["imagination"]
    assert exam(["--model", str(tmp_path / "run"), "--episodes", str(folder / "test")]) == 0
    rows = json.loads((tmp_path / "run" / "exam" / "exam.json").read_text())["sections"][0]["rows"]
    for column, name in (("model", "error"), ("other actions", "permuted_error"), ("copy", "copy_error")):
        for row, metric in zip(rows, found[name], strict=True):
            assert row["values"][column] == pytest.approx(metric)
    capsys.readouterr()
    assert exam(["--model", str(tmp_path / "run")]) == 2
    assert "give --episodes" in capsys.readouterr().err


def import_without_gymnasium():
    """Import anew what is of this library alone, for the others take seconds."""
    for name in list(sys.modules):
        if name.partition(".")[0] in ("vjepa", "gymnasium"):
            del sys.modules[name]
    sys.modules["gymnasium"] = None
    for name in ("vjepa.commands.action", "vjepa.recipes.action.run", "vjepa.planning.agent"):
        importlib.import_module(name)
    print("here", flush=True)
    importlib.import_module("vjepa.planning.policies")


def test_trajectories_of_one_s_own_need_no_gymnasium(tmp_path):
    statuses, (said,) = forked_processes(import_without_gymnasium, tmp_path, number=1)
    assert statuses == [1]
    assert said.startswith("here\n"), said
    assert "an environment needs gymnasium, which is not installed: pip install gymnasium" in said


def refused(run, message, *changes):
    with pytest.raises((ValueError, ConfigError), match=message):
        run(f"refused-{abs(hash(changes))}", *changes)


def test_what_does_not_fit_is_refused(run, folder, tmp_path):
    frozen = f"--init={folder / 'model'}"
    refused(run, "makes all frames alike")
    refused(run, "a frozen encoder's tokens are predicted as they are", frozen, "--frames.pool=mean")
    refused(run, "nor become smoother", frozen, "--objective.smoothness=0.5")
    refused(run, "which is encoder and init null", *LEARNING, "--which=encoder")
    refused(run, r"rollout\.steps is 4 and data\.window\.frames 4", frozen, "--objective.rollout.steps=4")
    refused(run, r"data\.features is for a frozen encoder", *LEARNING, "--data.features=x")
    refused(run, "has 14 frames, and a window spans 31", frozen, "--data.window={frames: 16, skip: 2}")
    train = folder / "train"
    refused(run, "share 8 episodes", frozen, f"--data.test={train}")
    refused(
        run,
        "share 2 episodes",
        frozen,
        f"--data.train={train}?episodes=0-5",
        f"--data.test={train}?episodes=4-7",
    )
    refused(run, "data.train and data.collect are both given", frozen, "--data.collect={env: pushing}")
    refused(
        run, "data.test and data.collect are both given", frozen, "--data.train=null",
        "--data.collect={env: pushing}", f"--data.test={train}",
    )  # fmt: skip
    refused(run, r"context is 9 and data\.window\.frames 4", frozen, "--dynamics.context=9")
    refused(run, r"data\.mean is .* and the frozen encoder of init has", frozen, "--data.mean=[0, 0, 0]")


def test_actions_that_cannot_be_used_are_named(run, folder, tmp_path):
    def broken(name, change):
        copy = tmp_path / name
        copy.mkdir()
        for path in (folder / "train").iterdir():
            (copy / path.name).write_bytes(path.read_bytes())
        change(copy)
        return f"--data.train={copy}"

    def rewrite(copy, **arrays):
        with np.load(copy / "000003.npz") as episode:
            arrays = {**episode, **arrays}
        np.savez(copy / "000003.npz", **arrays)

    frozen = f"--init={folder / 'model'}"
    nan = np.zeros((14, 2), np.float32)
    nan[5, 1] = np.nan
    refused(
        run,
        "000003.mp4: actions of 1 frames are not finite, the first is frame 5",
        frozen,
        broken("nan", lambda copy: rewrite(copy, actions=nan)),
    )
    refused(
        run,
        "000003.mp4 has actions of 3 numbers",
        frozen,
        broken("wide", lambda copy: rewrite(copy, actions=np.zeros((14, 3), np.float32))),
    )
    refused(
        run,
        "000003.mp4 has no actions: put 000003.npz",
        frozen,
        broken("missing", lambda copy: (copy / "000003.npz").unlink()),
    )


def test_the_tool_knows_it_by_its_section(arguments, tmp_path, capsys):
    path = tmp_path / "action.yaml"
    path.write_text("dynamics: {embed_dim: 24, depht: 1}\n")
    assert action_tool(["--config", str(path)]) == 2
    assert "did you mean 'dynamics.depth'?" in capsys.readouterr().err
