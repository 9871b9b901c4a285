"""Measure the speed of training steps, inference, decoding and loading on this machine.

    vjepa benchmark [step encode decode loader train videomae peers gemm] [--config FILE]
                    [--videos MANIFEST] [--precision no bf16] [--repeats N] [--meta CHECKOUT]
                    [--json OUT] [--section.key value ...]

The measurements are:
    step    a training step on clips in memory: forward, backward, clipping, AdamW and update of the target
            encoder
    encode  the encoder applied to all tokens, without gradients
    decode  each installed reader by itself: it opens a video and reads as many frames as a clip has, spread
            over the video
    loader  loading of clips as in a run, with decoding, crops, masks and workers; with and without the cache
            (data.cache.folder)
    train   loading and training steps together
    videomae
            a training step that reconstructs pixels, 90 % of the tubes hidden, predictor 4 deep
    peers   the same with other libraries, whose speed is then compared: step with Meta's code (--meta, a
            clone of github.com/facebookresearch/vjepa2), encode and videomae with transformers
    gemm    a product of two matrices of up to 2048 x 2048, the reference; always measured with step, encode
            and train

Without --config, a ViT-S/16 is measured on 8 clips of 16 frames of 112 x 112 pixels, with both V-JEPA masks
at fixed lengths. Other arguments (--section.key value) change the configuration, as in vjepa pretrain.

Ratios to other libraries are of CPU time on a CPU, of wall time elsewhere. The peers have the size of the
default settings, so they cannot be combined with --config.

Times are medians over repeats, which alternate between the measurements within one process; compare only
numbers of the same call. The column "of GEMM" is the speed as a share of the fastest gemm; if gemm's own
median is far below 100 %, other processes were using the machine. OMP_NUM_THREADS sets the number of threads.

Exit status: 0 done; 1 an unexpected error; 2 arguments that cannot be used; 75 asked to stop; 130
interrupted.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vjepa.batch import Batch, TokenMask
from vjepa.choices import ReaderName
from vjepa.config import CacheConfig, read_config
from vjepa.data.manifest import Video
from vjepa.data.readers.open import open_video
from vjepa.files import ready_file
from vjepa.grid import Tubelet
from vjepa.layers.pixels import PixelNormalizer
from vjepa.masks.random import TubeMask
from vjepa.models.encoder import VideoEncoder
from vjepa.profiling import peers
from vjepa.profiling.flops import step_cost
from vjepa.profiling.timing import Precision, Ratio, Row, Work, machine_name, measure, ratios, table
from vjepa.recipes.pretrain import build
from vjepa.recipes.pretrain.config import PretrainConfig
from vjepa.recipes.pretrain.data import build_batches, render_synthetic, training_sources
from vjepa.recipes.pretrain.preview import example_batch
from vjepa.training.optimizer import build_optimizer
from vjepa.training.stop import command

DEFAULT_SETTINGS = (
    "--encoder.size=small", "--predictor.embed_dim=192", "--predictor.depth=6", "--predictor.num_heads=6",
    "--data.clip={num_frames: 16, stride: 1}", "--data.size=112", "--optim.batch_size=8",
)  # fmt: skip
# Numbers of context and target tokens of the two masks, out of 392 tokens. They are fixed, because the
# lengths of configured masks vary from step to step.
DEFAULT_LENGTHS = ((112, 168), (56, 240))
DEFAULT_TOKENS = 392

DECODED_VIDEOS = 32  # largest number of videos that are decoded, evenly chosen
LOADED_BATCHES = 4  # batches per worker in one timing of the loader


class Setting(NamedTuple):
    """Settings of a benchmark.

    Attributes:
        config: Configuration of the measured run.
        fixed_lengths: Whether the masks have the lengths `DEFAULT_LENGTHS` instead of those of the
            configuration.
        precisions: Precisions of the forward pass that are measured.
        device: Device of the computation.
        meta: Clone of facebookresearch/vjepa2 whose step is measured; None measures none.
    """

    config: PretrainConfig
    fixed_lengths: bool
    precisions: list[Precision]
    device: torch.device
    meta: str | None = None

    @property
    def videos(self) -> int:
        """Number of videos of one forward pass: the batch size, or the micro-batch size if it is set."""
        most = self.config.train.micro_batch or self.config.optim.batch_size
        return min(most, self.config.optim.batch_size)

    @property
    def clips(self) -> int:
        """Number of clips of one forward pass."""
        return self.videos * self.config.data.clip.clips_per_video

    def autocast(self, precision: Precision) -> torch.autocast:
        """Return the context manager of a forward pass."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=precision == "bf16")

    def batch(self) -> Batch:
        """Return random clips with masks, on the device."""
        batch = example_batch(self.config, self.clips)
        if self.fixed_lengths:
            batch = dataclasses.replace(batch, masks=_fixed_masks(batch, self.config))
        pixels_BTCHW = torch.randint(0, 256, batch.video_BTCHW.shape, dtype=torch.uint8)
        return dataclasses.replace(batch, video_BTCHW=pixels_BTCHW).to(self.device)


def _fixed_masks(batch: Batch, config: PretrainConfig) -> tuple[TokenMask, ...]:
    """Return masks of random tokens with the lengths `DEFAULT_LENGTHS`."""
    frames, _, height, width = batch.video_BTCHW.shape[1:]
    tokens = Tubelet(*config.encoder.tubelet).grid_of(frames, height, width).size
    if tokens != DEFAULT_TOKENS:
        raise ValueError(
            f"clips have {tokens} tokens: the masks that are used without --config need "
            f"{DEFAULT_TOKENS}; leave data.clip and data.size as they are, or give --config"
        )
    orders_BN = [torch.rand(len(batch.paths), tokens).argsort(dim=1) for _ in DEFAULT_LENGTHS]
    return tuple(
        TokenMask(order_BN[:, :context].sort().values, order_BN[:, tokens - targets :].sort().values, number)
        for number, (order_BN, (context, targets)) in enumerate(zip(orders_BN, DEFAULT_LENGTHS, strict=True))
    )


class Learner:
    """An objective that takes optimiser steps like the trainer, on one process and without logging."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.objective = build.build_objective(build.resolve(setting.config)).to(setting.device).train()
        self.optimizer = build_optimizer(self.objective, setting.config.optim)
        limit = setting.config.optim.clip_grad
        self.clip_grad = math.inf if limit is None else limit

    def step(self, batch: Batch, precision: Precision) -> None:
        """Take one optimiser step: forward, backward, clipping, AdamW, update of the target encoder."""
        with self.setting.autocast(precision):
            loss = self.objective(batch)["loss"]
        loss.backward()
        nn.utils.clip_grad_norm_(self.objective.parameters(), self.clip_grad)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.objective.after_step(1)


def step_flops(setting: Setting, batch: Batch) -> float:
    """Return the number of floating-point operations of a training step on a batch."""
    with torch.device("meta"):
        objective = build.build_objective(build.resolve(setting.config))
    return step_cost(objective, batch).flops * len(batch.paths)


def step_works(setting: Setting) -> list[Work]:
    """Return the training steps to time, on a batch that stays on the device."""
    batch, learner = setting.batch(), Learner(setting)
    flops = step_flops(setting, batch)
    return [
        Work("step", precision, setting.clips, flops, partial(learner.step, batch, precision))
        for precision in setting.precisions
    ]


def encode_works(setting: Setting) -> list[Work]:
    """Return the forward passes of the encoder to time, over all tokens and without gradients."""
    arguments = build.model_arguments(build.resolve(setting.config))
    encoder = VideoEncoder(**arguments["encoder"]).to(setting.device).eval()
    normalizer = PixelNormalizer(**arguments["pixels"]).to(setting.device)
    video_BTCHW = setting.batch().video_BTCHW
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        pixels_BTCHW = torch.empty(video_BTCHW.shape)
        VideoEncoder(**arguments["encoder"])(pixels_BTCHW.transpose(1, 2))

    def encode(precision: Precision) -> Tensor:
        with torch.no_grad(), setting.autocast(precision):
            return encoder(normalizer(video_BTCHW))

    flops = counter.get_total_flops()
    return [
        Work("encode", precision, setting.clips, flops, partial(encode, precision))
        for precision in setting.precisions
    ]


def decode_works(setting: Setting) -> list[Work]:
    """Return the decoding to time, by every reader that can read the chosen videos."""
    sources = training_sources(setting.config)
    videos = [video for source in sources.videos for video in source]
    chosen = [videos[i] for i in np.unique(np.linspace(0, len(videos) - 1, DECODED_VIDEOS).astype(int))]
    works = []
    for reader in get_args(ReaderName)[1:]:  # all but `auto`, which stands for one of the others
        data = setting.config.data
        run = partial(_decode, chosen, reader, data.clip.num_frames, len(data.mean))
        try:
            run()
        except ValueError as error:  # the reader is not installed, or cannot read a file
            print(f"decode {reader} is left out: {error}", file=sys.stderr)
        else:
            works.append(Work(f"decode {reader}", None, len(chosen), None, run))
    return works


def _decode(videos: Sequence[Video], reader: str, num_frames: int, channels: int) -> None:
    for video in videos:
        with open_video(video.path, reader, channels=channels) as frames:
            frames.get_frames(np.linspace(0, len(frames) - 1, num_frames).astype(int))


class Loader:
    """Loader of the batches of a run's first steps; its workers are kept between timings."""

    def __init__(self, setting: Setting) -> None:
        config, num_workers = setting.config, setting.config.data.num_workers
        self.num_batches = LOADED_BATCHES * max(num_workers, 1)
        optim = dataclasses.replace(
            config.optim, batch_size=setting.videos, steps=self.num_batches, warmup_steps=0
        )
        self._batches = build_batches(
            dataclasses.replace(config, optim=optim),
            training_sources(config),
            micro_batch=setting.videos,
            pin_memory=setting.device.type == "cuda",
            **({"persistent_workers": num_workers > 0} if config.data.loader == "torch" else {}),
        )

    def __iter__(self) -> Iterator[Batch]:
        return iter(self._batches)

    def drain(self) -> None:
        """Load all batches once."""
        for _ in self:
            pass


def loader_works(setting: Setting) -> list[Work]:
    """Return the loading to time: without a cache and, if `data.cache.folder` is set, also with it."""
    data = setting.config.data
    plain = setting._replace(
        config=dataclasses.replace(setting.config, data=dataclasses.replace(data, cache=CacheConfig()))
    )
    loaders = {"loader": Loader(plain)} | ({"loader cached": Loader(setting)} if data.cache.folder else {})
    return [
        Work(name, None, loader.num_batches * setting.clips, None, loader.drain)
        for name, loader in loaders.items()
    ]


def train_works(setting: Setting) -> list[Work]:
    """Return the training to time: steps on batches from the loader."""
    loader, learner = Loader(setting), Learner(setting)
    flops = sum(step_flops(setting, batch) for batch in loader)  # mask lengths vary per step

    def train(precision: Precision) -> None:
        for batch in loader:
            learner.step(batch.to(setting.device), precision)

    return [
        Work("train", precision, loader.num_batches * setting.clips, flops, partial(train, precision))
        for precision in setting.precisions
    ]


def videomae_works(setting: Setting) -> list[Work]:
    """Return the training steps on pixels to time."""
    works = step_works(_on_pixels(setting))
    return [dataclasses.replace(work, name="videomae") for work in works]


def _on_pixels(setting: Setting) -> Setting:
    config = setting.config
    changes: dict[str, Any] = {
        "masks": dataclasses.replace(config.masks, multiblock=(), tube=(TubeMask(ratio=0.9),)),
        "predictor": dataclasses.replace(config.predictor, depth=4),
        "objective": dataclasses.replace(config.objective, predict="pixels"),
    }
    return setting._replace(config=dataclasses.replace(config, **changes), fixed_lengths=False)


def peer_works(setting: Setting) -> list[Work]:
    """Return the work of other libraries to time, on clips like those of `step` and `videomae`."""
    if not setting.fixed_lengths:
        raise ValueError("peers have the size of the default settings: leave out --config, or peers")
    batch, hidden = setting.batch(), _on_pixels(setting).batch().masks[0]
    clips_BTCHW = PixelNormalizer().to(setting.device)(batch.video_BTCHW).transpose(1, 2).contiguous()
    hidden_BN = torch.zeros(len(clips_BTCHW), DEFAULT_TOKENS, dtype=torch.bool, device=setting.device)
    hidden_BN.scatter_(1, hidden.target_BM, True)
    depth = build.model_arguments(build.resolve(setting.config))["encoder"]["depth"]
    meta: dict[str, peers.Run] = {}
    if setting.meta is not None:  # first, so that a folder which is no clone is refused at once
        meta["step (Meta)"] = peers.MetaStep(setting.meta, batch, clips_BTCHW, depth=depth).step
    runs: dict[str, peers.Run] = {
        "encode (transformers)": peers.hf_encoder(clips_BTCHW, depth=depth),
        "videomae (transformers)": peers.hf_videomae_step(clips_BTCHW, hidden_BN, depth=depth),
        **meta,
    }

    def run(work: peers.Run, precision: Precision) -> None:
        work(setting.autocast(precision))

    return [
        Work(name, precision, setting.clips, peers.counted_flops(work), partial(run, work, precision))
        for name, work in runs.items()
        for precision in setting.precisions
    ]


PARTS: dict[str, Callable[[Setting], list[Work]]] = {
    "step": step_works,
    "encode": encode_works,
    "decode": decode_works,
    "loader": loader_works,
    "train": train_works,
    "videomae": videomae_works,
    "peers": peer_works,
    "gemm": lambda setting: [],  # measured along with every other computation
}
COMPUTING = {"step", "encode", "train", "videomae", "peers", "gemm"}


def benchmark(parts: Sequence[str], setting: Setting, repeats: int) -> list[Row]:
    """Run the named measurements, which are keys of `PARTS`, and return the rows of the table."""
    torch.manual_seed(setting.config.seed)
    data = setting.config.data
    if data.synthetic is not None and {"decode", "loader", "train"} & set(parts):
        render_synthetic(data.synthetic, data.num_workers, partial(print, file=sys.stderr))
    precisions = setting.precisions if COMPUTING & set(parts) else []
    return measure([partial(PARTS[part], setting) for part in parts], precisions, setting.device, repeats)


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status."""
    options, changes = _options(arguments)
    setting = _setting(options, changes)
    if options.json:
        ready_file(options.json)
    rows = benchmark(options.parts or ["step", "encode"], setting, options.repeats)
    machine = machine_name(setting.device)
    print(f"{machine}; median of {options.repeats} timings; ms, GFLOP and GB are for all clips of a row")
    print(table(rows))
    compared = ratios(rows, setting.device)
    for ratio in compared:
        print(ratio)
    if options.json:
        report = {"machine": machine, "repeats": options.repeats, "rows": _with_ratios(rows, compared)}
        Path(options.json).write_text(json.dumps(report, indent=2) + "\n")
    return 0


def _with_ratios(rows: Sequence[Row], compared: Sequence[Ratio]) -> list[dict[str, Any]]:
    """Return the rows for a JSON file; those of peers have the ratio of this library's speed to theirs."""
    ratio_of = {(f"{one.name} ({one.peer})", one.precision): one._asdict() for one in compared}
    return [
        {
            "label": row.name if row.precision is None else f"{row.name}, {row.precision}",
            "metrics": vars(row) | {"our_speed_against_it": ratio_of.get((row.name, row.precision))},
        }
        for row in rows
    ]


def _setting(options: argparse.Namespace, changes: Sequence[str]) -> Setting:
    unknown = [part for part in options.parts if part not in PARTS]
    if unknown:
        raise ValueError(f"'{unknown[0]}' cannot be measured: choose among {', '.join(PARTS)}")
    base = DEFAULT_SETTINGS if options.config is None else ("--config", options.config)
    config = read_config([*base, *changes], PretrainConfig)
    if options.videos is not None:
        data = dataclasses.replace(config.data, train=options.videos, weights=None, synthetic=None)
        config = dataclasses.replace(config, data=data)
    # Without the check, a torch built for an accelerator reports it even on a machine that has none.
    found = torch.accelerator.current_accelerator(check_available=True)
    device = found if found is not None and config.train.device == "auto" else torch.device("cpu")
    return Setting(config, options.config is None, options.precision, device, options.meta)


def _options(arguments: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument(
        "parts", nargs="*", help=f"Measurements to run: any of {', '.join(PARTS)} (default: step encode)."
    )
    parser.add_argument(
        "--config",
        help="YAML file of the settings of a pre-training run (default: ViT-S/16 on 8 clips, see above).",
    )
    parser.add_argument(
        "--videos", help="Manifest or folder of videos to load (default: those of the configuration)."
    )
    parser.add_argument(
        "--precision",
        nargs="+",
        choices=get_args(Precision),
        default=["no", "bf16"],
        help="Precisions of the forward pass to measure: no (float32), bf16, or both (default: no bf16).",
    )
    parser.add_argument(
        "--repeats", type=int, default=5, help="Number of timings of each measurement (default 5)."
    )
    parser.add_argument(
        "--meta",
        help="Folder of a clone of facebookresearch/vjepa2, whose training step is timed among the peers "
        "(default: it is not timed).",
    )
    parser.add_argument(
        "--json", help="JSON file to write the table and every single timing to (default: none is written)."
    )
    options, others = parser.parse_known_args(_joined(sys.argv[1:] if arguments is None else arguments))
    # argparse takes only the first measurements, up to a setting.
    options.parts += [other for other in others if other in PARTS]
    return options, [other for other in others if other not in PARTS]


def _joined(arguments: Sequence[str]) -> list[str]:
    """Join settings to their values by ``=``; argparse would take the values for measurements."""
    sections = {field.name for field in dataclasses.fields(PretrainConfig)}
    joined: list[str] = []
    for argument in arguments:
        option = joined[-1] if joined else ""
        is_setting = option.startswith("--") and option[2:].split(".")[0] in sections
        if is_setting and "=" not in option and not argument.startswith("--"):
            joined[-1] = f"{option}={argument}"
        else:
            joined.append(argument)
    return joined
