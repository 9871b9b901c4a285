"""Estimate what a pre-training run costs on GPUs that are not at hand.

    vjepa estimate --config configs/pretrain/vjepa2_vitg16.yaml --gpu h100 --gpus 64

Counts parameters, FLOPs and activations by running the configured objective without memory (torch's meta
device), and computes from figures of the hardware: memory of each GPU, bytes that it sends, seconds of a
step, days of the run, and what the loader must deliver. Options that are not listed below are those of
vjepa pretrain.

Exit status: 0 done; 1 no GPU holds a step; 2 arguments or settings that cannot be used; 130 interrupted.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
    batch = config.optim.batch_size
    pieces = accumulation_steps(
        batch, options.gpus, config.train.micro_batch, measures_batch=config.objective.measures_batch
    )
    cluster = Cluster(
        GPUS[options.gpu], options.gpus, options.per_machine, options.network_gb * 1e9, options.mfu
    )
    if options.output is not None:
        ready_file(options.output)
    with torch.device("meta"):
        objective = build.build_objective(build.resolve(config))
    cost = average_cost(config, objective)
    clips = batch * config.data.clip.clips_per_video
    at_once = clips // options.gpus // pieces
    found = {
        name: estimate(cost, cluster, clips, at_once, sharded=sharded)
        for name, sharded in (("DDP", False), ("FSDP", True))
    }
    print(_report(config, cost, cluster, found, options))
    if options.output is not None:
        rows = [
            {"label": name, "metrics": _metrics(each, config.optim.steps)} for name, each in found.items()
        ]
        Path(options.output).write_text(json.dumps({"rows": rows}, indent=2) + "\n")
    return 0 if any(_fits(each, cluster) for each in found.values()) else 1


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


def _report(
    config: PretrainConfig,
    cost: StepCost,
    cluster: Cluster,
    found: dict[str, Estimate],
    options: argparse.Namespace,
) -> str:
    steps, clips = config.optim.steps, config.optim.batch_size * config.data.clip.clips_per_video
    lines = [
        f"{cost.parameters / 1e6:.0f} M parameters, {cost.trained / 1e6:.0f} M trained; "
        f"{cost.flops / 1e12:.3f} TFLOP a clip; {steps} steps of {clips} clips",
        f"{cluster.count} {options.gpu} GPUs, {cluster.per_machine} a machine; computing at "
        f"{cluster.mfu:.0%} of {cluster.gpu.flops / 1e12:.0f} TFLOP/s",
        f"{'':34}" + "".join(f"{name:>16}" for name in found),
    ]
    for title, value in (
        ("weights, gradients, moments, GB", lambda e: f"{e.weights_bytes / 1e9:.1f}"),
        ("activations, GB", lambda e: f"{e.activation_bytes / 1e9:.1f}"),
        (f"fits {cluster.gpu.memory / 1e9:.0f} GB with a tenth free", lambda e: str(_fits(e, cluster))),
        ("sent by a GPU a step, GB", lambda e: f"{e.sent_bytes / 1e9:.2f}"),
        ("computing a step, s", lambda e: f"{e.compute_seconds:.3f}"),
        ("sending a step, s", lambda e: f"{e.sent_seconds:.3f}"),
        ("days, sending hidden to not hidden", lambda e: _days(e, steps)),
    ):
        lines.append(f"{title:34}" + "".join(f"{value(each):>16}" for each in found.values()))
    fastest = clips / min(each.step_seconds[0] for each in found.values())
    per_machine = fastest * min(cluster.per_machine, cluster.count) / cluster.count
    lines.append(
        f"the loader must deliver {fastest:.0f} clips/s, {per_machine:.0f} to each machine: "
        f"{per_machine * options.clip_mb:.0f} MB/s and {per_machine / options.clips_per_core:.0f} cores of "
        "each"
    )
    return "\n".join(lines)


def _metrics(found: Estimate, steps: int) -> dict[str, Any]:
    values = dataclasses.asdict(found)
    gigabytes = {name: values.pop(f"{name}_bytes") / 1e9 for name in ("weights", "activation", "sent")}
    return {**values, "gigabytes": gigabytes, "days": _run_days(found, steps)}


def _run_days(found: Estimate, steps: int) -> list[float]:
    return [steps * seconds / 86_400 for seconds in found.step_seconds]


def _days(found: Estimate, steps: int) -> str:
    low, high = _run_days(found, steps)
    return f"{low:.2f} to {high:.2f}"
