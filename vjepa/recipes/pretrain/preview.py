"""The outline of a pre-training run, which is printed before it starts."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from vjepa.batch import Batch, TokenMask, ViewGroup
from vjepa.config import ConfigError
from vjepa.grid import Grid, Tubelet
from vjepa.masks.base import Mask
from vjepa.masks.future import FutureMask
from vjepa.masks.token_counts import count_tokens
from vjepa.profiling.flops import StepCost, step_cost
from vjepa.profiling.timing import gemm_rate
from vjepa.recipes.pretrain.config import PretrainConfig, ViewsConfig
from vjepa.training.accelerator import local_processes
from vjepa.training.outline import device_phrase, parameters_phrase, steps_phrase

_HOPELESS = 4  # A step that needs so many times the memory of a process is refused.
_MOST_TIMES = 3000  # VideoMAE on Something-Something v2 sees each video 2,400 times.
_SHORT = 1e13  # Floating-point operations of a run whose duration is not estimated: minutes on one CPU core.
_LONG = 14 * 86400.0  # Seconds; the duration of a run above which there is a warning.


def describe_run(
    config: PretrainConfig, objective: nn.Module, num_videos: int, accelerator: Accelerator
) -> str:
    """Describe a run in a few lines: steps, clips, batch, tokens, parameters, memory and FLOPs.

    Args:
        config: Configuration of the run.
        objective: Objective on the meta device.
        num_videos: Number of training videos.
        accelerator: Accelerator of the run.

    Raises:
        ConfigError: A step needs several times the memory that a process has.
    """
    cost = average_cost(config, objective)
    clips_per_video = config.data.clip.clips_per_video
    clips = config.optim.batch_size * clips_per_video
    micro_batches, world_size = accelerator.gradient_accumulation_steps, accelerator.num_processes
    share = 0.5 if accelerator.mixed_precision in ("bf16", "fp16") else 1.0
    memory = cost.memory_bytes(clips // micro_batches // world_size, share)
    times = config.optim.steps * config.optim.batch_size / num_videos
    flops = cost.flops * clips * config.optim.steps
    return "\n".join(
        (
            f"{steps_phrase(config.optim.steps, clips, 'clips', accelerator)}, {config.optim.steps * clips} "
            f"clips in all, {times:.1f} times each of {num_videos} videos",
            *describe_masks(config),
            f"{parameters_phrase(cost.trained, cost.parameters)}; about "
            f"{memory / 1e9:.2f} GB of tensors in each process, beside what Python and torch take; "
            f"{_flops(cost.flops)} a clip, {_flops(flops)} in all",
            device_phrase(accelerator),
            *_too_large(memory, accelerator.device),
            *_too_often(times),
            *_duration(flops / world_size, accelerator),
        )
    )


def _too_often(times: float) -> list[str]:
    """Return a warning if each video is seen more often than any published recipe sees its videos."""
    if times <= _MOST_TIMES:
        return []
    return [
        f"WARNING: each video is seen {times:.0f} times, and at most 2,400 times in the published recipes "
        "that come with this library: give fewer optim.steps, more videos, or a recipe for few videos "
        "(--config pretrain/clips)"
    ]


def _duration(flops: float, accelerator: Accelerator) -> list[str]:
    """Return a line on how long a run takes whose `flops` each process computes; none for a short run.

    The speed of a matrix product is measured; training steps reach some 30 to 50 % of it.
    """
    if flops < _SHORT:
        return []
    half = accelerator.mixed_precision == "bf16"
    seconds = flops / gemm_rate("bf16" if half else "no", accelerator.device)
    line = (
        f"time: some {_hours(seconds / 0.5)} to {_hours(seconds / 0.3)}, by the speed of a matrix product "
        "measured here, if videos are decoded fast enough"
    )
    if seconds / 0.5 < _LONG:
        return [line]
    return [f"WARNING: {line}: choose a smaller recipe (--config pretrain/clips) or a faster machine"]


def _hours(seconds: float) -> str:
    for unit, size in (("days", 86400.0), ("hours", 3600.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds / 60, 1):.0f} minutes"


def _too_large(memory: float, device: torch.device) -> list[str]:
    """Return a warning if the tensors of a step, of `memory` bytes, exceed the memory of a process.

    Raises:
        ConfigError: They exceed it several times. Less is not refused, because the estimate may be wrong by
            some tens of percent, and a machine may swap.
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
        "lower train.micro_batch, data.clip.num_frames or data.size, or set train.activation_checkpointing"
    )
    if memory > _HOPELESS * room:
        raise ConfigError(words)
    return [f"WARNING: {words}"]


def describe_masks(config: PretrainConfig) -> list[str]:
    """Return lines on the numbers of context and target tokens of each mask, and warnings of small contexts.

    A mask is warned of if its context has fewer tokens than the grid has time steps. The model then learns
    from almost nothing, which the loss does not show. Of views, the numbers of tokens are told instead.
    """
    if config.objective.predict == "views":
        return _describe_views(config)
    grid = Tubelet(*config.encoder.tubelet).grid_of(config.data.clip.num_frames, *config.data.clip_size)
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
                    f"place has over time ({size.t}): lower its scale, its number of blocks or its ratio"
                )
    return lines + warnings


def _describe_views(config: PretrainConfig) -> list[str]:
    tubelet = Tubelet(*config.encoder.tubelet)
    lines = []
    for name, group in zip(("global", "local"), example_batch(config, 1).views, strict=False):
        _, views, frames, _, height, width = group.video_BvTCHW.shape
        grid = tubelet.grid_of(frames, height, width)
        seen = grid.size if group.keep_BvK is None else group.keep_BvK.shape[-1]
        lines.append(
            f"{views} {name} view{'s' if views > 1 else ''} of a clip: grid {grid.t} x {grid.h} x {grid.w} = "
            f"{grid.size} tokens, of which {seen} are encoded"
        )
    return lines


def _flops(number: float) -> str:
    """Return a number of floating-point operations with a unit of fitting size."""
    for unit, size in (("PFLOP", 1e15), ("TFLOP", 1e12), ("GFLOP", 1e9)):
        if number >= size:
            return f"{number / size:.2f} {unit}"
    return f"{number / 1e6:.2f} MFLOP"


def kinds_of_steps(config: PretrainConfig) -> list[tuple[float, Batch]]:
    """Return a pair for each kind of step: its share of the steps, in [0, 1], and an example batch.

    Steps differ in kind if only some of them predict the future (``masks.future_share``).
    """
    everything = example_batch(config)
    share, first_future = config.masks.future_share, len(config.masks.all) - len(config.masks.future)
    if share is None:
        return [(1.0, everything)]
    rest, future = everything.masks[:first_future], everything.masks[first_future:]
    return [(1 - share, replace(everything, masks=rest)), (share, replace(everything, masks=future))]


def average_cost(config: PretrainConfig, objective: nn.Module) -> StepCost:
    """Return the average FLOPs of a step, and its largest activation memory, over the kinds of steps.

    Steps on images count as if they were on videos.

    Args:
        config: Configuration of the run.
        objective: Objective on the meta device.
    """
    costs = [(share, step_cost(objective, batch)) for share, batch in kinds_of_steps(config)]
    return replace(
        costs[0][1],
        flops=sum(share * cost.flops for share, cost in costs),
        activation_bytes=max(cost.activation_bytes for _, cost in costs),
    )


def example_batch(config: PretrainConfig, clips: int = 2) -> Batch:
    """Return a batch of the configured shape: black clips, zero noise, all masks drawn with fixed seeds."""
    height, width = config.data.clip_size
    frames, channels = config.data.clip.num_frames, len(config.data.mean)
    grid = Tubelet(*config.encoder.tubelet).grid_of(frames, height, width)
    noise, views = config.objective.noise_shape, config.objective.views
    video = torch.zeros(clips, frames, channels, height, width, dtype=torch.uint8)
    masks = [draw_mask(mask, number, grid, clips) for number, mask in enumerate(config.masks.all)]
    return Batch(
        video_BTCHW=video,
        masks=() if views is not None else tuple(masks),
        labels_B=torch.zeros(clips, dtype=torch.long),
        paths=("",) * clips,
        noise_BsZ=None if noise is None else torch.zeros(clips, *noise),
        target_video_BTCHW=video if config.augment.target == "separate" else None,
        views=() if views is None else _example_views(config, views, video),
    )


def _example_views(config: PretrainConfig, views: ViewsConfig, video_BTCHW: Tensor) -> tuple[ViewGroup, ...]:
    clips, frames, channels, *size = video_BTCHW.shape
    local = (views.local_size,) * 2 if isinstance(views.local_size, int) else views.local_size
    groups = [(views.num_global, frames, size), (views.num_local, views.local_frames or frames, local)]
    found = []
    for number, length, (height, width) in groups[: 2 if views.num_local else 1]:
        video = video_BTCHW.new_zeros(clips, number, length, channels, height, width)
        grid = Tubelet(*config.encoder.tubelet).grid_of(length, height, width)
        masks = [draw_mask(mask, 0, grid, clips * number).context_BK for mask in config.masks.all]
        found.append(ViewGroup(video, masks[0].unflatten(0, (clips, number)) if masks else None))
    return tuple(found)


def draw_mask(mask: Mask, number: int, grid: Grid, clips: int, seed: int = 0) -> TokenMask:
    """Draw a mask outside a run, from fixed seeds.

    Args:
        mask: Sampler of the mask.
        number: Index of the mask among all masks of the configuration.
        grid: Token grid of a clip.
        clips: Number of clips.
        seed: Random seed.
    """
    rngs = [np.random.default_rng([clip, number, seed]) for clip in range(clips)]
    drawn = mask.sample(grid, rngs, np.random.default_rng([number, seed]))
    return TokenMask.from_numpy(drawn.context_BK, drawn.target_BM, number, drawn.groups)
