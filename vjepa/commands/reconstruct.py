"""Show which pixels a model reconstructs, or a decoder recovers from its embeddings.

    vjepa reconstruct --model runs/mae --videos videos.csv
    vjepa reconstruct --model MCG-NJU/videomae-base --videos video.mp4
    vjepa reconstruct --model runs/quickstart --videos test.csv --train train.csv

For a masked auto-encoder: input, mask and reconstruction. For a model that predicts embeddings, or any model
with --readout: the input, and what a small decoder, trained on the frozen embeddings of --train, reconstructs
from them, compared with the same for an untrained encoder; what is missing is not in the embeddings. Writes
reconstruction.png and clip_N.mp4, and prints peak signal-to-noise ratios of the shown clips in decibels.

Exit status: 0 done; 1 an unexpected error; 2 arguments that cannot be used; 75 asked to stop; 130
interrupted.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import vjepa.cpu_threads  # noqa: F401  (before torch)

# isort: split
import torch
from torch import Tensor

from vjepa.config import checks, config_from_tree
from vjepa.data.manifest import Video, read_manifest
from vjepa.evaluation.features.extract import spread_rows
from vjepa.evaluation.probes.pixels import psnr, train_pixel_decoder
from vjepa.evaluation.untrained import untrained_copy
from vjepa.files import ready_folder, results_home
from vjepa.grid import Grid, Tubelet
from vjepa.inference.device_options import add_device_options, placed
from vjepa.layers.pixel_targets import restore_pixels
from vjepa.masks.base import Mask
from vjepa.models.video_model import VideoModel
from vjepa.plots.strip import draw_strip, write_film
from vjepa.recipes.pretrain.config import PretrainConfig
from vjepa.recipes.pretrain.preview import draw_mask
from vjepa.tokens import gather_tokens, patchify, unpatchify
from vjepa.training.stop import command
from vjepa.weights.model_folder import from_pretrained

GREY = 128
GAIN = 3  # factor that makes differences visible
TRAIN_CLIPS = 1024  # largest number of clips that train the small decoder
FRAME_RATE = 4.0  # frames per second of the films: slow enough to look at

Panels = dict[str, Tensor]


class Shown(NamedTuple):
    """What is shown of each clip.

    Attributes:
        panels: Videos, uint8 ``(T, C, H, W)``, by name, for each clip.
        caption: Explanation below the image.
        metrics: Peak signal-to-noise ratios in decibels by name.
    """

    panels: list[Panels]
    caption: str
    metrics: dict[str, float]


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status."""
    options = _parser().parse_args(arguments)
    checks.options_at_least(options, clips=1, seed=0)
    model = placed(from_pretrained(options.model), options)
    folder = ready_folder(options.output or results_home(options.model) / "reconstruction")
    shown = _show(model, options)
    _write(folder, shown.panels, shown.caption)
    print(shown.caption)
    for name, decibels in shown.metrics.items():
        print(f"{name:<58} {decibels:6.2f} dB")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="Run folder, model folder or released weights.")
    parser.add_argument("--videos", required=True, help="Video, folder of videos, or manifest to show.")
    parser.add_argument(
        "--train",
        help="Manifest or folder of other videos to train the small decoder on; required without a decoder "
        "of the model's own.",
    )
    parser.add_argument(
        "--readout", action="store_true", help="Train a small decoder even if the model has one of its own."
    )
    parser.add_argument(
        "--clips", type=int, default=6, help="Number of clips to show, evenly chosen (default 6)."
    )
    parser.add_argument(
        "--mask", type=int, default=0, help="Number of the model's mask to use, from 0 (default 0)."
    )
    parser.add_argument(
        "--output",
        help="Output folder (default: reconstruction/ in the folder given by --model; for a file or a "
        "model on the hub, in a new folder of its name).",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="Random seed of the masks and of the small decoder (default 0)."
    )
    add_device_options(parser)
    return parser


def _show(model: VideoModel, options: argparse.Namespace) -> Shown:
    videos = _videos(model, options.videos)
    video_BTCHW = _clips(model, videos, options.clips)
    if model.decoder is not None and not options.readout:
        return reconstruct(model, _masks(model, options.model), video_BTCHW, options.mask, options.seed)
    if options.train is None:
        raise ValueError(
            f"{options.model} is shown by a small decoder, which must be trained: give --train, other videos "
            "than --videos (for a run on synthetic videos, the manifest of their train split)"
        )
    train = _videos(model, options.train)
    both = {video.path for video in videos} & {video.path for video in train}
    if both:
        raise ValueError(
            f"{len(both)} videos are in both --videos and --train, e.g. {min(both)}: show others than "
            "trained on"
        )
    return read_out(model, video_BTCHW, _clips(model, train, TRAIN_CLIPS), options.seed)


def _masks(model: VideoModel, source: str) -> tuple[Mask, ...]:
    """Return the masks of training: from a run's configuration, or from the family of released weights."""
    if "training" in model.config:
        return config_from_tree(model.config["training"], PretrainConfig).masks.all
    if "masks" in model.config:
        return config_from_tree(
            {"masks": {"multiblock": [], **model.config["masks"]}}, PretrainConfig
        ).masks.all
    raise ValueError(
        f'{source} does not store which masks it was trained with ("training" or "masks" in config.json): '
        "give a model that vjepa pretrain wrote, or released weights"
    )


def _videos(model: VideoModel, source: str) -> list[Video]:
    """Read videos without their labels."""
    videos = read_manifest(source, images=model.processor.num_frames == 1)
    return [dataclasses.replace(video, label=None) for video in videos]


def _clips(model: VideoModel, videos: Sequence[Video], most: int) -> Tensor:
    """Read the middle clip of at most `most` videos, evenly chosen: uint8 ``(V, T, C, H, W)``."""
    chosen = [videos[row] for row in spread_rows(len(videos), most)]
    return torch.cat([model.processor(video.path, start=video.start, end=video.end) for video in chosen])


@torch.no_grad()
def reconstruct(
    model: VideoModel, masks: Sequence[Mask], video_BTCHW: Tensor, number: int, seed: int
) -> Shown:
    """Show what a masked auto-encoder reconstructs, with one of the masks that it was trained with.

    Args:
        model: Model with a decoder of pixels.
        masks: Masks that the model was trained with.
        video_BTCHW: uint8 clips to show.
        number: Index of the mask in `masks`.
        seed: Random seed of the mask.

    Raises:
        ValueError: There is no such mask.
    """
    assert model.decoder is not None
    if not 0 <= number < len(masks):
        raise ValueError(f"--mask is {number}: the model knows {len(masks)}, counted from 0")
    kind, tubelet = model.config["pixel_targets"], model.encoder.tubelet
    pixels_BCTHW = model.normalizer(video_BTCHW)
    grid = model.encoder.grid_of(pixels_BCTHW)
    mask = draw_mask(masks[number], number, grid, len(video_BTCHW), seed)
    context_BND = model.encoder(pixels_BCTHW, mask.context_BK, class_token=True)
    predicted_BMP = model.decoder(
        context_BND, mask.context_BK, mask.target_BM, grid, mask.mask_token, mask.groups
    )
    tubelets_BNP = patchify(video_BTCHW.transpose(1, 2), tubelet)
    true_BMP = gather_tokens(tubelets_BNP, mask.target_BM)
    restored_BMP = restore_pixels(predicted_BMP, true_BMP, kind, model.normalizer.mean, model.normalizer.std)

    grey_BNP = torch.full_like(tubelets_BNP, GREY)
    seen_BNP = _put(grey_BNP, mask.context_BK, gather_tokens(tubelets_BNP, mask.context_BK))
    filled_BNP = _put(seen_BNP, mask.target_BM, _bytes(restored_BMP))
    rows = {"input": tubelets_BNP, "seen": seen_BNP, "reconstruction": filled_BNP}
    caption = "Seen tubelets are the input's own; what stays grey was neither seen nor asked for."
    if kind != "raw":
        caption += "\nMean and contrast of each hidden tubelet are the true ones: they are not predicted."
    metrics = {
        "hidden pixels, reconstruction": psnr(restored_BMP, true_BMP / 255),
        **_by_means(model, true_BMP),
    }
    return Shown(_panels(rows, grid, tubelet), caption, metrics)


def _by_means(model: VideoModel, true_BMP: Tensor) -> dict[str, float]:
    """Return the ratios in decibels of baselines without a model: means of the true uint8 pixels."""
    per_channel = (true_BMP / 255).unflatten(-1, (len(model.normalizer.mean), -1))
    means = {
        "each hidden tubelet's true mean colour instead": per_channel.mean(dim=-1, keepdim=True),
        "the mean colour of all hidden pixels of a clip instead": per_channel.mean(dim=(1, 3), keepdim=True),
    }
    return {name: psnr(mean.expand_as(per_channel), per_channel) for name, mean in means.items()}


def read_out(model: VideoModel, video_BTCHW: Tensor, train_VTCHW: Tensor, seed: int) -> Shown:
    """Show what a small decoder, trained on frozen embeddings, reconstructs from embeddings of other clips.

    The same decoder on an untrained encoder is the baseline: random weights preserve much of an image.

    Args:
        model: Model whose embeddings are decoded.
        video_BTCHW: uint8 clips to show.
        train_VTCHW: uint8 clips of other videos to train the decoder on.
        seed: Random seed of the decoder and of the untrained encoder.
    """
    tubelet = model.encoder.tubelet
    grid = model.encoder.grid_of(video_BTCHW.transpose(1, 2))

    untrained = untrained_copy(model, seed)
    true_BNP = patchify(video_BTCHW.transpose(1, 2), tubelet) / 255
    decoded = []
    for each in (model, untrained):
        decoder = train_pixel_decoder(each.encode, train_VTCHW, tubelet, seed)
        with torch.no_grad():
            decoded.append(decoder(each.encode(video_BTCHW)).clamp(0, 1))
    mean_1TCHW = train_VTCHW.float().mean(dim=0, keepdim=True)
    mean_1NP = patchify(mean_1TCHW.transpose(1, 2), tubelet) / 255
    rows = {
        "input": true_BNP,
        "from embeddings": decoded[0],
        f"difference x {GAIN}": GAIN * (decoded[0] - true_BNP).abs(),
        "from an untrained encoder's": decoded[1],
    }
    metrics = {
        "pixels decoded from embeddings": psnr(decoded[0], true_BNP),
        "pixels decoded from an untrained encoder's": psnr(decoded[1], true_BNP),
        "the mean of the training clips instead": psnr(mean_1NP.expand_as(true_BNP), true_BNP),
    }
    caption = "A small decoder, trained on frozen embeddings of other clips: what it lacks, they dropped."
    return Shown(_panels({name: _bytes(row) for name, row in rows.items()}, grid, tubelet), caption, metrics)


def _put(tubelets_BNP: Tensor, index_BM: Tensor, values_BMP: Tensor) -> Tensor:
    """Return a copy with `values_BMP` at the positions `index_BM`."""
    return tubelets_BNP.scatter(1, index_BM.unsqueeze(-1).expand_as(values_BMP), values_BMP)


def _panels(rows: Panels, grid: Grid, tubelet: Tubelet) -> list[Panels]:
    """Convert named uint8 tubelets ``(B, N, P)`` to the videos of each clip."""
    videos = {name: unpatchify(row_BNP, grid, tubelet).transpose(1, 2) for name, row_BNP in rows.items()}
    return [{name: video[clip] for name, video in videos.items()} for clip in range(len(rows["input"]))]


def _bytes(pixels: Tensor) -> Tensor:
    return (255 * pixels.clamp(0, 1)).round().to(torch.uint8)


def _write(folder: Path, panels: Sequence[Panels], caption: str) -> None:
    draw_strip(panels, folder / "reconstruction.png", caption)
    for number, clip in enumerate(panels, 1):
        write_film(clip, folder / f"clip_{number}.mp4", FRAME_RATE)
    print(f"{folder / 'reconstruction.png'} and {len(panels)} films beside it")
