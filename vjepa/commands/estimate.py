"""Estimate what a pre-training run costs on GPUs that are not at hand.

    vjepa estimate --config configs/pretrain/vjepa2_vitg16.yaml --gpu h100 --gpus 64

Counts parameters, FLOPs and activations by running the configured objective without memory (torch's meta
device), and computes from figures of the hardware: memory of each GPU, bytes that it sends, seconds of a
step, days of the run, and what the loader must deliver; of a run that trains its teacher first, for both
stages. Options that are not listed below are those of vjepa pretrain.

Exit status: 0 done; 1 no GPU holds a step; 2 arguments or settings that cannot be used; 130 interrupted.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import vjepa.cpu_threads  # noqa: F401  (before torch)

# isort: split
import torch

from vjepa.config import read_config
from vjepa.files import ready_file
from vjepa.profiling.estimate import GPUS, Cluster, Estimate, estimate
from vjepa.profiling.flops import StepCost
from vjepa.recipes.configs import CONFIGS
from vjepa.recipes.pretrain import build
from vjepa.recipes.pretrain.config import PretrainConfig
from vjepa.recipes.pretrain.preview import average_cost
from vjepa.training.accelerator import accumulation_steps
from vjepa.training.stop import command

_FREE = 0.9  # Share of a GPU's memory that tensors can take.
_WAYS = {"DDP": False, "FSDP": True}  # whether weights are divided among the GPUs


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status."""
    options, changes = _parser().parse_known_args(arguments)
    config = read_config(changes, PretrainConfig, "vjepa estimate", CONFIGS)
    for name in ("gpus", "per_machine", "network_gb", "mfu", "clip_mb", "clips_per_core"):
        if getattr(options, name) <= 0:
            raise ValueError(f"--{name} is {getattr(options, name)}: give a number above 0")
    if options.mfu > 1:
        raise ValueError(f"--mfu is {options.mfu}: give a share of the GPU's speed in (0, 1]")
    cluster = Cluster(
        GPUS[options.gpu], options.gpus, options.per_machine, options.network_gb * 1e9, options.mfu
    )
    if options.output is not None:
        ready_file(options.output)
    stages = [_stage(each, cluster) for each in build.stages(config)]
    print(_report(stages, cluster, options))
    if options.output is not None:
        Path(options.output).write_text(json.dumps({"rows": _rows(stages)}, indent=2) + "\n")
    return 0 if any(all(_fits(stage.found[name], cluster) for stage in stages) for name in _WAYS) else 1


class _Stage(NamedTuple):
    """A stage of a run, the cost of its step for one clip, and what it costs by how weights are kept."""

    config: PretrainConfig
    cost: StepCost
    found: dict[str, Estimate]

    @property
    def clips(self) -> int:
        """Number of clips of a step."""
        return self.config.optim.batch_size * self.config.data.clip.clips_per_video

    def days(self, name: str) -> list[float]:
        """Days of all steps, if sending is hidden behind computing entirely, and if not at all."""
        return [self.config.optim.steps * each / 86_400 for each in self.found[name].step_seconds]


def _stage(config: PretrainConfig, cluster: Cluster) -> _Stage:
    pieces = accumulation_steps(
        config.optim.batch_size,
        cluster.count,
        config.train.micro_batch,
        measures_batch=config.objective.measures_batch,
    )
    with torch.device("meta"):
        objective = build.build_objective(build.resolve(config))
    stage = _Stage(config, average_cost(config, objective), {})
    at_once = stage.clips // cluster.count // pieces
    found = {
        name: estimate(stage.cost, cluster, stage.clips, at_once, sharded=sharded)
        for name, sharded in _WAYS.items()
    }
    return stage._replace(found=found)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--gpu", choices=list(GPUS), default="h100", help="Kind of GPU (default h100).")
    parser.add_argument("--gpus", type=int, default=8, help="Number of GPUs in all (default 8).")
    parser.add_argument("--per_machine", type=int, default=8, help="GPUs of a machine (default 8).")
    parser.add_argument(
        "--network_gb",
        type=float,
        default=50.0,
        help="Gigabytes (1e9 bytes) per second that each GPU sends to other machines (default 50, a network "
        "of 400 Gbit/s for each GPU).",
    )
    parser.add_argument(
        "--mfu",
        type=float,
        default=0.4,
        help="Share of the GPU's bfloat16 speed that computing reaches, in (0, 1] (default 0.4, an "
        "assumption: tools/gpu_check.py measures it).",
    )
    parser.add_argument(
        "--clip_mb", type=float, default=1.0, help="Megabytes that are read for a clip (default 1)."
    )
    parser.add_argument(
        "--clips_per_core",
        type=float,
        default=10.0,
        help="Clips per second that one CPU core decodes and crops (default 10; vjepa benchmark loader "
        "measures it).",
    )
    parser.add_argument("--output", help="JSON file for the figures (default: they are only printed).")
    return parser


def _fits(found: Estimate, cluster: Cluster) -> bool:
    return found.memory_bytes <= _FREE * cluster.gpu.memory


def _report(stages: Sequence[_Stage], cluster: Cluster, options: argparse.Namespace) -> str:
    """Return the report on all stages of a run; of a run with a teacher's stage, with the days of both."""
    lines = [
        f"{cluster.count} {options.gpu} GPUs, {cluster.per_machine} a machine; computing at "
        f"{cluster.mfu:.0%} of {cluster.gpu.flops / 1e12:.0f} TFLOP/s",
    ]
    for stage in stages:
        if len(stages) > 1:
            lines += ["", "the run itself:" if stage is stages[-1] else "first, the teacher of the run:"]
        lines += [*_costs(stage, cluster), _loading(stage, cluster, options)]
    if len(stages) > 1:
        lines += ["", _row("days of both stages", [_range(_days(stages, name)) for name in _WAYS])]
    return "\n".join(lines)


def _costs(stage: _Stage, cluster: Cluster) -> list[str]:
    """Return the lines on what a step of a stage costs, and how long its steps take."""
    cost, found = stage.cost, stage.found
    lines = [
        f"{cost.parameters / 1e6:.0f} M parameters, {cost.trained / 1e6:.0f} M trained; "
        f"{cost.flops / 1e12:.3f} TFLOP a clip; {stage.config.optim.steps} steps of {stage.clips} clips",
        _row("", list(found)),
    ]
    for title, value in (
        ("weights, gradients, moments, GB", lambda e: f"{e.weights_bytes / 1e9:.1f}"),
        ("activations, GB", lambda e: f"{e.activation_bytes / 1e9:.1f}"),
        (f"fits {cluster.gpu.memory / 1e9:.0f} GB with a tenth free", lambda e: str(_fits(e, cluster))),
        ("sent by a GPU a step, GB", lambda e: f"{e.sent_bytes / 1e9:.2f}"),
        ("computing a step, s", lambda e: f"{e.compute_seconds:.3f}"),
        ("sending a step, s", lambda e: f"{e.sent_seconds:.3f}"),
    ):
        lines.append(_row(title, [value(each) for each in found.values()]))
    days = [_range(stage.days(name)) for name in found]
    return [*lines, _row("days, sending hidden to not hidden", days)]


def _loading(stage: _Stage, cluster: Cluster, options: argparse.Namespace) -> str:
    fastest = stage.clips / min(each.step_seconds[0] for each in stage.found.values())
    per_machine = fastest * min(cluster.per_machine, cluster.count) / cluster.count
    return (
        f"the loader must deliver {fastest:.0f} clips/s, {per_machine:.0f} to each machine: "
        f"{per_machine * options.clip_mb:.0f} MB/s and {per_machine / options.clips_per_core:.0f} cores of "
        "each"
    )


def _row(title: str, values: Sequence[str]) -> str:
    return f"{title:34}" + "".join(f"{value:>16}" for value in values)


def _rows(stages: Sequence[_Stage]) -> list[dict[str, Any]]:
    """Return figures for a JSON file: of the run's steps with the days of all stages; then the teacher's."""
    run = [{"label": name, "metrics": _metrics(stages[-1], name, _days(stages, name))} for name in _WAYS]
    teacher = [
        {"label": f"teacher, {name}", "metrics": _metrics(stage, name, stage.days(name))}
        for stage in stages[:-1]
        for name in _WAYS
    ]
    return [*run, *teacher]


def _metrics(stage: _Stage, name: str, days: list[float]) -> dict[str, Any]:
    values = dataclasses.asdict(stage.found[name])
    gigabytes = {name: values.pop(f"{name}_bytes") / 1e9 for name in ("weights", "activation", "sent")}
    return {**values, "gigabytes": gigabytes, "days": days}


def _days(stages: Sequence[_Stage], name: str) -> list[float]:
    """Return the days of all stages together, as `_Stage.days` does of one."""
    return [sum(each) for each in zip(*(stage.days(name) for stage in stages), strict=True)]


def _range(days: Sequence[float]) -> str:
    return f"{days[0]:.2f} to {days[1]:.2f}"
