"""What a run will do, said before it starts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

from vjepa import build
from vjepa.batch import Batch, TokenMask
from vjepa.config import Config
from vjepa.evaluation.cost import StepCost, step_cost
from vjepa.masks.base import Mask
from vjepa.tokens import Grid, Tubelet


def describe_run(config: Config, objective: nn.Module, num_videos: int, accelerator: Accelerator) -> str:
    """A few lines: steps, clips, effective batch, tokens, parameters, memory, FLOPs; `objective` is on meta."""
    batch = example_batch(config)
    cost = average_cost(config, objective)
    clips_per_video = config.data.clip.clips_per_video
    clips = config.optim.batch_size * clips_per_video
    parts, world = accelerator.gradient_accumulation_steps, accelerator.num_processes
    share = 0.5 if accelerator.mixed_precision in ("bf16", "fp16") else 1.0
    memory = cost.memory_bytes(clips // parts // world, share)
    context = " + ".join(str(mask.context_BK.shape[1]) for mask in batch.masks)
    targets = " + ".join(str(mask.target_BM.shape[1]) for mask in batch.masks)
    grid = Tubelet(*config.encoder.tubelet).grid_of(config.data.clip.num_frames, *build.clip_size(config))
    return "\n".join(
        (
            f"{config.optim.steps} steps of {clips} clips "
            f"({world} process{'es' if world > 1 else ''} x {parts} part{'s' if parts > 1 else ''} "
            f"x {clips // parts // world}), {config.optim.steps * clips} clips in all, "
            f"{config.optim.steps * config.optim.batch_size / num_videos:.1f} times each of {num_videos} videos",
            f"grid {grid.t} x {grid.h} x {grid.w} = {grid.size} tokens; context {context}, targets {targets}",
            f"{cost.trained / 1e6:.2f} M trained of {cost.parameters / 1e6:.2f} M parameters; about "
            f"{memory / 1e9:.2f} GB a process; {cost.flops / 1e9:.2f} GFLOP a clip, "
            f"{cost.flops * clips * config.optim.steps / 1e15:.3f} PFLOP in all",
            f"on {accelerator.device}, precision {accelerator.mixed_precision}, {torch.get_num_threads()} threads",
        )
    )


def kinds_of_steps(config: Config) -> list[tuple[float, Batch]]:
    """Each kind of step by its masks: its share of the steps, and a batch of it."""
    everything = example_batch(config)
    share, first_future = config.masks.future_share, len(config.masks.all) - len(config.masks.future)
    if share is None:
        return [(1.0, everything)]
    rest, future = everything.masks[:first_future], everything.masks[first_future:]
    return [(1 - share, replace(everything, masks=rest)), (share, replace(everything, masks=future))]


def average_cost(config: Config, objective: nn.Module) -> StepCost:
    """Cost of a step on the meta device, averaged over the kinds of steps; steps on images count as on videos."""
    costs = [(share, step_cost(objective, batch)) for share, batch in kinds_of_steps(config)]
    return replace(
        costs[0][1],
        flops=sum(share * cost.flops for share, cost in costs),
        activation_bytes=max(cost.activation_bytes for _, cost in costs),
    )


def example_batch(config: Config, clips: int = 2) -> Batch:
    """A batch of the configured shape: black clips, every mask, drawn with fixed seeds; no noise but its shape."""
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
        noise_BRZ=None if noise is None else torch.zeros(clips, *noise),
    )


def draw_mask(mask: Mask, number: int, grid: Grid, clips: int, seed: int = 0) -> TokenMask:
    """A mask for so many clips outside a run, with seeds of its own."""
    rngs = [np.random.default_rng([clip, number, seed]) for clip in range(clips)]
    drawn = mask.sample(grid, rngs, np.random.default_rng([number, seed]))
    return TokenMask.from_numpy(drawn.context_BK, drawn.target_BM, number, drawn.groups)
