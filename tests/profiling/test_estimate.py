"""Estimates for other hardware, against what a step here holds and against sums done by hand."""

import json

import pytest
import torch

from tests.objectives.builders import small_batch, small_jepa
from vjepa.commands.estimate import main
from vjepa.config import read_config
from vjepa.profiling.estimate import GPUS, Cluster, Gpu, estimate
from vjepa.profiling.flops import StepCost, step_cost
from vjepa.recipes.pretrain import build
from vjepa.recipes.pretrain.config import PretrainConfig

ONE = Cluster(GPUS["h100"], count=1, per_machine=8, network=50e9, mfu=0.4)


def test_weights_are_what_a_step_of_adamw_holds():
    objective, batch = small_jepa(), small_batch()
    with torch.device("meta"):
        cost = step_cost(small_jepa(), batch)
    trained = [parameter for parameter in objective.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained)
    objective(batch)["loss"].backward()
    optimizer.step()
    held = [*objective.parameters(), *(parameter.grad for parameter in trained)]
    held += [state[name] for state in optimizer.state.values() for name in ("exp_avg", "exp_avg_sq")]
    found = estimate(cost, ONE, clips=3, micro_batch=3, sharded=False)
    assert found.weights_bytes == sum(tensor.nbytes for tensor in held)
    assert found.sent_bytes == 0
    assert found.activation_bytes == pytest.approx(3 * cost.activation_bytes / 2)


def test_what_64_gpus_send_and_hold():
    """1,000 M trained weights and a target encoder of 800 M, by hand."""
    cost = StepCost(parameters=1_800_000_000, trained=1_000_000_000, flops=1e12, activation_bytes=4e8)
    cluster = Cluster(Gpu(flops=1e15, memory=80e9, link=450e9), 64, 8, network=50e9, mfu=0.5)
    ddp, fsdp = (estimate(cost, cluster, 3072, 24, sharded=sharded) for sharded in (False, True))
    assert ddp.weights_bytes == pytest.approx(19.2e9)
    assert fsdp.weights_bytes == pytest.approx(0.3e9)
    assert ddp.activation_bytes == fsdp.activation_bytes == pytest.approx(24 * 2e8)
    assert ddp.sent_bytes == pytest.approx(2 * 4e9 * 63 / 64)
    # 48 clips of a GPU are two passes; each gathers 2 x 2 GB and 1.6 GB, and reduces 2 GB.
    assert fsdp.sent_bytes == pytest.approx(2 * 7.6e9 * 63 / 64)
    assert ddp.compute_seconds == fsdp.compute_seconds == pytest.approx(48 * 1e12 / 0.5e15)
    assert fsdp.sent_seconds == pytest.approx(2 * 7.6e9 * 63 / 64 / 50e9)
    low, high = fsdp.step_seconds
    assert (low, high) == pytest.approx((fsdp.sent_seconds, fsdp.sent_seconds + fsdp.compute_seconds))


def test_the_tool_says_what_fits(tmp_path, capsys):
    config = ["--config", "configs/pretrain/vjepa_vitl16.yaml"]
    config += ["--encoder.depth=2", "--predictor.depth=1"]  # a count takes as long as the network is deep
    with torch.device("meta"):
        objective = build.build_objective(build.Resolved(read_config(config, PretrainConfig)))
    trained = sum(one.numel() for one in objective.parameters() if one.requires_grad)
    asked = [*config, "--gpus", "64"]
    assert main([*asked, "--output", str(tmp_path / "new" / "costs.json")]) == 0
    ddp, fsdp = (row["metrics"] for row in json.loads((tmp_path / "new" / "costs.json").read_text())["rows"])
    assert ddp["gigabytes"]["weights"] == pytest.approx(64 * fsdp["gigabytes"]["weights"])
    assert ddp["days"] == pytest.approx([ddp["compute_seconds"] * 90_000 / 86_400, ddp["days"][1]])
    printed = capsys.readouterr().out
    assert f" {trained / 1e6:.0f} M trained" in printed
    assert "the loader must deliver" in printed
    assert "days of both stages" not in printed
    assert main([*asked, "--gpus", "1", "--train.micro_batch", "3072"]) == 1
    assert main([*asked, "--mfu", "0"]) == 2
    assert "--mfu is 0.0: give a number above 0" in capsys.readouterr().err
    assert main([*asked, "--gpus", "7"]) == 2
    assert "cannot be shared by 7 processes" in capsys.readouterr().err
    whole = ["--config=configs/pretrain/sigreg_vits16.yaml", "--gpus", "1", "--train.micro_batch=1"]
    assert main(whole) == 2  # refused, as the run would be
    assert " micro-batches, but objective.sigreg" in capsys.readouterr().err


def test_days_are_those_of_both_stages_of_a_run_with_a_teacher(tmp_path, capsys):
    salt = [
        "--config=quickstart",
        "--config=configs/tiny/salt.yaml",
        "--gpus=1",
        f"--output={tmp_path / 'costs.json'}",
    ]
    assert main([*salt, "--optim.steps=1500", "--objective.teacher_steps=500"]) == 0
    rows = json.loads((tmp_path / "costs.json").read_text())["rows"]
    run, _, teacher, _ = (row["metrics"] for row in rows)
    assert [row["label"] for row in rows] == ["DDP", "FSDP", "teacher, DDP", "teacher, FSDP"]
    seconds = 1500 * run["compute_seconds"] + 500 * teacher["compute_seconds"]
    assert run["days"] == pytest.approx([seconds / 86_400] * 2)
    assert teacher["compute_seconds"] != run["compute_seconds"]
    printed = capsys.readouterr().out
    assert "first, the teacher of the run:" in printed
    assert "days of both stages" in printed
