"""Two processes on CPU (gloo): the same run as one, up to rounding, and no rank left behind."""

import json
import os
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import yaml
from safetensors.torch import load_file
from torch.nn.parallel import DistributedDataParallel

from tests.accelerate_state import fresh_accelerate
from tests.objectives.builders import small_batch, small_jepa
from tests.tiny_run import metrics
from tests.training.methods import METHODS, changes_of
from tests.training.processes import (
    ENVIRONMENT,
    forked_processes,
    launched,
    several_processes,
    two_processes,
)
from vjepa.commands.pretrain import main as tool
from vjepa.config import OptimConfig, read_config
from vjepa.objectives.jepa import JEPA
from vjepa.recipes.pretrain import build, data
from vjepa.recipes.pretrain.config import PretrainConfig
from vjepa.recipes.pretrain.run import pretrain
from vjepa.training.optimizer import build_optimizer


@pytest.mark.parametrize("parts", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_two_processes_are_one(parts, tiny_config, tiny_arguments, tmp_path, monkeypatch):
    same = ["--encoder.drop_path=0", "--optim.steps=6", "--optim.lr=0.005"]
    pretrain(tiny_config("one", *same))
    fresh_accelerate()
    # The shipped file of the launcher, without which `--cpu --num_processes 2` would start one process.
    monkeypatch.delitem(ENVIRONMENT, "ACCELERATE_USE_CPU")
    changes = tiny_arguments("two", *same, f"--train.micro_batch={2 // parts}")
    two = launched(
        "--config_file", "configs/accelerate/two_cpu_processes.yaml", "tools/pretrain.py", *changes
    )
    assert two.returncode == 0, two.stderr
    assert f"2 processes x {parts} micro-batch" in two.stdout

    for ours, theirs in zip(metrics(tmp_path / "one"), metrics(tmp_path / "two"), strict=True):
        for metric in ("loss", "relative_error"):
            assert ours[metric] == pytest.approx(theirs[metric], rel=1e-5)
        assert ours["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=1e-3)
        assert ours["target/std"] == pytest.approx(theirs["target/std"], rel=1e-3)
    ours, theirs = (load_file(tmp_path / run / "model" / "model.safetensors") for run in ("one", "two"))
    moved = max((tensor - theirs[name]).abs().max().item() for name, tensor in ours.items())
    # Six steps of AdamW at .005 move weights by some .02; rounding must stay far below.
    assert moved < 2e-3


@pytest.mark.slow
def test_a_run_goes_on_with_another_number_of_processes(tiny_config, tiny_arguments, tmp_path):
    """3, then 2, then 4 processes are one: the same samples, and losses up to rounding."""
    same = ["--encoder.drop_path=0", "--optim.batch_size=12", "--optim.lr=0.005", "--optim.warmup_steps=2"]
    pretrain(tiny_config("one", *same, "--optim.steps=6"))
    for processes, steps in ((3, 2), (2, 4), (4, 6)):
        stretch = f"--optim.schedule_stretch={6 / steps}"
        changes = tiny_arguments("several", *same, f"--optim.steps={steps}", stretch)
        run = several_processes(processes, "tools/pretrain.py", *changes)
        assert run.returncode == 0, run.stderr
        assert f"({processes} processes x 1 micro-batch x {12 // processes})" in run.stdout
    records = metrics(tmp_path / "several")
    assert [record["step"] for record in records] == [1, 2, 3, 4, 5, 6]
    for ours, theirs in zip(metrics(tmp_path / "one"), records, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-5)
        assert ours["lr"] == pytest.approx(theirs["lr"])


DYING_RANK = """
import os, sys
from vjepa.objectives.jepa import JEPA
forward = JEPA.forward
def dying(self, batch):
    if os.environ["RANK"] == "1":
        raise RuntimeError("rank one cannot go on")
    return forward(self, batch)
JEPA.forward = dying
from vjepa.commands.pretrain import main
sys.exit(main())
"""

DYING_ONCE = """
import os, signal, sys
from pathlib import Path
from vjepa.objectives.jepa import JEPA
forward, died = JEPA.forward, Path(os.environ["DIED"])
def dying_once(self, batch):
    if os.environ["RANK"] == "1" and batch.step == 4 and not died.exists():
        died.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return forward(self, batch)
JEPA.forward = dying_once
from vjepa.commands.pretrain import main
sys.exit(main())
"""


@pytest.mark.slow
def test_a_rank_that_dies_takes_the_run_down(tiny_arguments, tmp_path):
    script = tmp_path / "dying.py"
    script.write_text(DYING_RANK)
    run = two_processes(str(script), *tiny_arguments("run"))
    assert run.returncode not in (0, 75)
    assert "rank one cannot go on" in run.stderr


@pytest.mark.slow
def test_the_launcher_starts_a_run_again_whose_process_died(
    tiny_config, tiny_arguments, tmp_path, monkeypatch
):
    """With restarts, as elastic launchers have, the run is that of processes that all live."""
    same = ["--encoder.drop_path=0", "--optim.steps=6", "--train.checkpoint_every=3"]
    pretrain(tiny_config("one", *same))
    script = tmp_path / "dying.py"
    script.write_text(DYING_ONCE)
    monkeypatch.setitem(ENVIRONMENT, "DIED", str(tmp_path / "died"))
    again = ("--max_restarts", "1", str(script))
    run = two_processes(*again, *tiny_arguments("two", *same), timeout=400)
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "died").exists()
    assert "goes on after step 3 of 6" in run.stdout
    for ours, theirs in zip(metrics(tmp_path / "one"), metrics(tmp_path / "two"), strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-5)


def test_all_ranks_agree_that_a_loss_is_not_finite(tiny_arguments, tmp_path, monkeypatch):
    forward, calls = JEPA.forward, []

    def broken(objective, batch):
        outputs = forward(objective, batch)
        calls.append(None)
        # The run describes itself with one forward pass before its first step.
        if os.environ["RANK"] == "1" and len(calls) == 6:
            outputs["loss"] = outputs["loss"] * float("nan")
        return outputs

    monkeypatch.setattr(JEPA, "forward", broken)
    arguments = tiny_arguments("run", "--train.checkpoint_every=2")
    statuses, said = forked_processes(lambda: tool(arguments), tmp_path)
    assert statuses == [1, 1], said
    messages = [text.split("NonFiniteError: step ")[1] for text in said]
    assert all(message.startswith("5: loss is nan") for message in messages)
    assert "another process's" in messages[0]
    assert ".mp4" in messages[1]
    assert all("The last good checkpoint is of step 4" in message for message in messages)
    # Both went through the fourth step and neither through the fifth.
    assert [path.name for path in sorted((tmp_path / "run" / "checkpoints").glob("step_*"))][
        -1
    ] == "step_0000004"


def trained(config, objective, batches, wrapped, steps=4):
    optimizer = build_optimizer(objective, config.optim)
    for step, batch in zip(range(1, steps + 1), batches, strict=False):
        wrapped(batch)["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
        objective.after_step(step)
    return objective.state_dict()


def train_alone_and_together(configs):
    """Print for each method how far apart the two end, and how far training moved, of the worst weight."""
    dist.init_process_group("gloo")
    rank, world_size = dist.get_rank(), dist.get_world_size()
    for method, config in configs.items():

        def built(config=config):
            torch.manual_seed(0)
            return build.build_objective(build.Resolved(config))

        sources, size = data.training_sources(config), config.optim.batch_size
        share = size // world_size
        mine = data.build_batches(config, sources, micro_batch=share, rank=rank, world_size=world_size)
        objective, unused = built(), config.encoder.image_tokenizer
        wrapped = DistributedDataParallel(objective, find_unused_parameters=unused)
        both = trained(config, objective, mine, wrapped)
        # Alone: the regularisers ask how many processes there are, so the other one must be out of sight.
        if rank == 0:
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr(torch.distributed, "is_initialized", lambda: False)
                objective = built()
                start = {name: value.clone() for name, value in objective.state_dict().items()}
                whole = data.build_batches(config, sources, micro_batch=size)
                alone = trained(config, objective, whole, objective)
            # Views go through a batch norm, which takes out what this bias adds to all of them: its gradient
            # is rounding, and AdamW's first steps do not depend on a gradient's size.
            moot = {"encoder.transformer.norm.bias"} if method == "views" else set()
            worst = max((both[name] - alone[name]).abs().max().item() for name in both.keys() - moot)
            moved = max((alone[name] - start[name]).abs().max().item() for name in both)
            print("RESULT", json.dumps([method, worst, moved]))
        dist.barrier()
    dist.destroy_process_group()


def test_every_method_is_the_same_on_two_processes(tiny_arguments, manifest, tmp_path):
    """The same weights after four steps as of one process that has the whole batch."""
    same = ("--encoder.drop_path=0", "--optim.lr=0.005", "--optim.batch_size=8")
    configs = {
        method: read_config(tiny_arguments(method, *same, *changes_of(method, manifest)), PretrainConfig)
        for method in METHODS
    }
    statuses, said = forked_processes(lambda: train_alone_and_together(configs), tmp_path)
    assert statuses == [0, 0], said
    lines = [line.removeprefix("RESULT ") for line in said[0].splitlines() if line.startswith("RESULT")]
    results = {method: (worst, moved) for method, worst, moved in map(json.loads, lines)}
    assert results.keys() == METHODS.keys()
    for method, (worst, moved) in results.items():
        assert moved > 5e-3, f"{method} hardly moved"
        # Rounding is all that may differ; AdamW's first steps are as large for a tiny gradient as for a great
        # one.
        assert worst < 0.02 * moved, f"{method}: {worst} of {moved}"


def train_sharded():
    """Print how far sharded parameters end from those of one process, and of what kind they are."""
    from torch.distributed.fsdp import fully_shard

    dist.init_process_group("gloo")
    rank = dist.get_rank()

    def train(jepa, batch):
        optimizer = build_optimizer(jepa, OptimConfig(lr=1e-3))
        for step in range(3):
            jepa(batch)["loss"].backward()
            optimizer.step()
            optimizer.zero_grad()
            jepa.after_step(step + 1)

    whole, sharded, batch = small_jepa(), small_jepa(), small_batch(clips=4)
    train(whole, batch)
    for module in (sharded.encoder, sharded.target_encoder, sharded.predictor):
        for block in module.transformer.blocks:
            fully_shard(block)
        fully_shard(module)
    fully_shard(sharded)
    train(sharded, batch.map(lambda tensor: tensor[2 * rank : 2 * rank + 2]))
    worst = max(
        (ours.full_tensor() - theirs).abs().max().item()
        for ours, theirs in zip(sharded.parameters(), whole.parameters(), strict=True)
    )
    kinds = {type(parameter).__name__ for parameter in sharded.target_encoder.parameters()}
    print("worst", worst, "kinds", *kinds)
    dist.destroy_process_group()


def test_sharded_parameters_and_their_average(tmp_path):
    """FSDP2's `fully_shard`: the target encoder is sharded like the encoder, so its average is local."""
    statuses, said = forked_processes(train_sharded, tmp_path)
    assert statuses == [0, 0], said
    for text in said:
        assert float(text.split("worst ")[1].split()[0]) < 1e-4
        assert "kinds DTensor" in text


# accelerate 1.15 takes its FSDP plug-in only for accelerators (state.py, `AcceleratorState.__init__`), so the
# processes are declared to be on GPUs until it has; they compute on the CPU, and communicate by gloo.
SHARDED_RUN = """
import sys
from accelerate import Accelerator, PartialState
from accelerate.utils import DistributedType
import vjepa.training.accelerator as home

def sharding(**arguments):
    PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
    accelerator = Accelerator(**arguments)
    assert accelerator.is_fsdp2
    return accelerator

home.Accelerator = sharding
from vjepa.commands.pretrain import main
sys.exit(main())
"""


@pytest.mark.slow
def test_a_run_sharded_by_accelerate_is_the_run_of_one_process(
    tiny_config, tiny_arguments, tmp_path, monkeypatch
):
    """By configs/accelerate/fsdp2.yaml: training, sharded checkpoints, 2 and then 4 processes."""
    settings = yaml.safe_load(Path("configs/accelerate/fsdp2.yaml").read_text())["fsdp_config"]
    for key, value in settings.items():
        name = {"fsdp_transformer_layer_cls_to_wrap": "FSDP_TRANSFORMER_CLS_TO_WRAP"}.get(key, key.upper())
        monkeypatch.setitem(ENVIRONMENT, name, str(value).lower() if isinstance(value, bool) else str(value))
    monkeypatch.setitem(ENVIRONMENT, "ACCELERATE_USE_FSDP", "true")
    same = ["--encoder.drop_path=0", "--optim.batch_size=8", "--optim.lr=0.005", "--optim.warmup_steps=2"]
    pretrain(tiny_config("one", *same, "--optim.steps=6"))
    script = tmp_path / "sharded.py"
    script.write_text(SHARDED_RUN)
    for processes, steps in ((2, 3), (4, 6)):
        stretch = f"--optim.schedule_stretch={6 / steps}"
        changes = tiny_arguments("sharded", *same, f"--optim.steps={steps}", stretch)
        run = several_processes(processes, str(script), *changes)
        assert run.returncode == 0, run.stderr
    assert list((tmp_path / "sharded" / "checkpoints" / "step_0000006").rglob("*.distcp"))
    for ours, theirs in zip(metrics(tmp_path / "one"), metrics(tmp_path / "sharded"), strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-5)
        assert ours["target/std"] == pytest.approx(theirs["target/std"], rel=1e-3)
    ours, theirs = (load_file(tmp_path / run / "model" / "model.safetensors") for run in ("one", "sharded"))
    assert ours.keys() == theirs.keys()
    assert max((tensor - theirs[name]).abs().max().item() for name, tensor in ours.items()) < 2e-3
