"""What a run will do, said before it starts."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

from vjepa.batch import Batch, TokenMask
from vjepa.config import ConfigError
from vjepa.grid import Grid, Tubelet
from vjepa.masks.base import Mask
from vjepa.masks.future import FutureMask
from vjepa.masks.token_counts import count_tokens
from vjepa.profiling.flops import StepCost, step_cost
from vjepa.recipes.pretrain import build
from vjepa.recipes.pretrain.config import PretrainConfig
from vjepa.training.accelerator import local_processes
from vjepa.training.outline import device_phrase, parameters_phrase, steps_phrase

_HOPELESS = 4  # times the memory that a process has


def describe_run(
    config: PretrainConfig, objective: nn.Module, num_videos: int, accelerator: Accelerator
) -> str:
    """A few lines: steps, clips, effective batch, tokens, parameters, memory, FLOPs; `objective` is on meta.

    Raises:
        ConfigError: A step needs several times the memory that a process has.
    """
    cost = average_cost(config, objective)
    clips_per_video = config.data.clip.clips_per_video
    clips = config.optim.batch_size * clips_per_video
    micro_batches, world_size = accelerator.gradient_accumulation_steps, accelerator.num_processes
    share = 0.5 if accelerator.mixed_precision in ("bf16", "fp16") else 1.0
    memory = cost.memory_bytes(clips // micro_batches // world_size, share)
    return "\n".join(
        (
            f"{steps_phrase(config.optim.steps, clips, 'clips', accelerator)}, {config.optim.steps * clips} "
            "clips in all, "
            f"{config.optim.steps * config.optim.batch_size / num_videos:.1f} times each of {num_videos} "
            "videos",
            *describe_masks(config),
            f"{parameters_phrase(cost.trained, cost.parameters)}; about "
            f"{memory / 1e9:.2f} GB of tensors in each process, beside what Python and torch take; "
            f"{_flops(cost.flops)} a clip, {_flops(cost.flops * clips * config.optim.steps)} in all",
            device_phrase(accelerator),
            *_too_large(memory, accelerator.device),
        )
    )


def _too_large(memory: float, device: torch.device) -> list[str]:
    """A warning where the tensors of a process do not fit into the memory that it has; ConfigError where they
    never will.

    The estimate may be wrong by some tens of percent, and a machine may swap, so that only a multiple is
    refused.
    """
    if device.type == "cuda":
        room = float(torch.cuda.get_device_properties(device).total_memory)
    elif device.type == "cpu" and hasattr(os, "sysconf"):
        room = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")) / local_processes()
    else:
        return []
    if memory <= room:
        return []
    words = (
        f"one step needs about {memory / 1e9:.0f} GB of tensors, and a process has {room / 1e9:.0f} GB: "
        "lower "
        "train.micro_batch, data.clip.num_frames or data.size, or set train.activation_checkpointing"
    )
    if memory > _HOPELESS * room:
        raise ConfigError(words)
    return [f"WARNING: {words}"]


def describe_masks(config: PretrainConfig) -> list[str]:
    """Lines that say how many tokens each mask shows and has predicted, and which mask shows too little.

    A context of fewer tokens than one place has over time is a fault of most settings: the loss then learns
    from next to nothing, without looking wrong.
    """
    grid = Tubelet(*config.encoder.tubelet).grid_of(config.data.clip.num_frames, *build.clip_size(config))
    grids = {config.data.kind: grid}
    if config.data.mixes_in_images:
        grids["images"] = grid._replace(t=1)
    lines, warnings = [], []
    for kind, size in grids.items():
        lines.append(
            f"{kind}: grid {size.t} x {size.h} x {size.w} = {size.size} tokens; least / median / most of a "
            "step:"
        )
        for name, mask in config.masks.by_name.items():
            if isinstance(mask, FutureMask) and size.t == 1:
                continue
            counts = count_tokens(mask, size)
            lines.append(f"  {name}: context {counts.context}, targets {counts.targets}")
            if counts.context.least < size.t:
                warnings.append(
                    f"WARNING: {name} shows {counts.context.least} tokens at some steps, fewer than one "
                    "place has over "
                    f"time ({size.t}): lower its scale, its number of blocks or its ratio"
                )
    return lines + warnings


def _flops(number: float) -> str:
    """Floating-point operations with a unit that suits them."""
    for unit, size in (("PFLOP", 1e15), ("TFLOP", 1e12), ("GFLOP", 1e9)):
        if number >= size:
            return f"{number / size:.2f} {unit}"
    return f"{number / 1e6:.2f} MFLOP"


def kinds_of_steps(config: PretrainConfig) -> list[tuple[float, Batch]]:
    """Each kind of step by its masks: its share of the steps, and a batch of it."""
    everything = example_batch(config)
    share, first_future = config.masks.future_share, len(config.masks.all) - len(config.masks.future)
    if share is None:
        return [(1.0, everything)]
    rest, future = everything.masks[:first_future], everything.masks[first_future:]
    return [(1 - share, replace(everything, masks=rest)), (share, replace(everything, masks=future))]


def average_cost(config: PretrainConfig, objective: nn.Module) -> StepCost:
    """Cost of a step on the meta device, averaged over the kinds of steps.

    Steps on images count as on videos.
    """
    costs = [(share, step_cost(objective, batch)) for share, batch in kinds_of_steps(config)]
    return replace(
        costs[0][1],
        flops=sum(share * cost.flops for share, cost in costs),
        activation_bytes=max(cost.activation_bytes for _, cost in costs),
    )


def example_batch(config: PretrainConfig, clips: int = 2) -> Batch:
    """A batch of the configured shape: black clips, every mask, drawn with fixed seeds.

    No noise but its shape.
    """
    height, width = build.clip_size(config)
    frames, channels = config.data.clip.num_frames, len(config.data.mean)
    grid = Tubelet(*config.encoder.tubelet).grid_of(frames, height, width)
    masks = [draw_mask(mask, number, grid, clips) for number, mask in enumerate(config.masks.all)]
    noise = build.noise_shape(config)
    return Batch(
        video_BTCHW=torch.zeros(clips, frames, channels, height, width, dtype=torch.uint8),
        masks=tuple(masks),
        labels_B=torch.zeros(clips, dtype=torch.long),
        paths=("",) * clips,
        noise_BsZ=None if noise is None else torch.zeros(clips, *noise),
    )


def draw_mask(mask: Mask, number: int, grid: Grid, clips: int, seed: int = 0) -> TokenMask:
    """A mask for so many clips outside a run, with seeds of its own."""
    rngs = [np.random.default_rng([clip, number, seed]) for clip in range(clips)]
    drawn = mask.sample(grid, rngs, np.random.default_rng([number, seed]))
    return TokenMask.from_numpy(drawn.context_BK, drawn.target_BM, number, drawn.groups)
