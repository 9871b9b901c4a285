"""Look at what a model makes of videos.

    python tools/reconstruct.py --model runs/mae --videos videos.csv
    python tools/reconstruct.py --model runs/quickstart --videos test.csv --train train.csv

A masked auto-encoder: input, mask and reconstruction. A model of embeddings: input, and what a small decoder, trained
on the frozen embeddings of --train, finds of it in them, beside the same for an untrained encoder: what is missing was
dropped. Writes reconstruction.png and clip_N.mp4. Exit status: 0 done, 2 arguments that cannot be used.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import vjepa.cpu_threads  # noqa: F401  (before torch)

# isort: split
import torch
from torch import Tensor

from vjepa import build
from vjepa.config import Config, config_from_tree
from vjepa.data.dataset import ClipDataset
from vjepa.data.sampling import SampleKey
from vjepa.evaluation.features import extract_features, spread_rows
from vjepa.evaluation.pixel_decoder import psnr, train_pixel_decoder
from vjepa.evaluation.strip import draw_strip, write_film
from vjepa.layers.pixel_targets import restore_pixels
from vjepa.models.world import WorldModel
from vjepa.tokens import gather_tokens, patchify, unpatchify
from vjepa.training.plan import draw_mask
from vjepa.weights import from_pretrained

GREY = 128
FRAME_RATE = 4.0  # of the films: slow enough to look at

Panels = dict[str, Tensor]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        world = from_pretrained(options.model)
        config = config_from_tree(world.config["training"])
        clips = _clips(config, options.videos)
        video_BTCHW = _stack(clips, spread_rows(len(clips), options.clips))
        if world.decoder is not None:
            panels, caption, figures = reconstruct(world, config, video_BTCHW, options.seed)
        elif options.train is not None:
            train = _clips(config, options.train)
            panels, caption, figures = read_out(world, config, video_BTCHW, train, options.seed)
        else:
            raise ValueError(
                f"{options.model} predicts embeddings and has no decoder: give --train, videos to train a small one on"
            )
    except (ValueError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    _write(Path(options.output or Path(options.model) / "reconstruction"), panels, caption)
    for name, decibels in figures.items():
        print(f"{name:<58} {decibels:6.2f} dB")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="folder of a run or of a model")
    parser.add_argument("--videos", required=True, help="manifest or folder of videos to show")
    parser.add_argument(
        "--train", help="manifest or folder of videos to train a decoder on, for a model of embeddings"
    )
    parser.add_argument("--clips", type=int, default=4, help="how many, evenly chosen (default 4)")
    parser.add_argument("--output", help="folder (default: reconstruction/ in the model's)")
    parser.add_argument("--seed", type=int, default=0, help="of masks and of the decoder (default 0)")
    return parser


def _clips(config: Config, source: str) -> ClipDataset:
    """Evenly spread clips; labels play no part."""
    on_images = config.data.clip.num_frames == 1
    videos = [dataclasses.replace(video, label=None) for video in build.read_source(source, images=on_images)]
    return build.probe_dataset(config, videos, [])


def _stack(dataset: ClipDataset, rows: Sequence[int]) -> Tensor:
    samples = [dataset[SampleKey(serial=row, index=row, step=0)] for row in rows]
    return torch.stack([sample.video_RTCHW[0] for sample in samples])


@torch.no_grad()
def reconstruct(
    world: WorldModel, config: Config, video_BTCHW: Tensor, seed: int
) -> tuple[list[Panels], str, dict[str, float]]:
    """Panels, caption and figures of a masked auto-encoder, with the first of the masks that it was trained with."""
    assert world.decoder is not None
    kind, tubelet = world.config["pixel_targets"], world.encoder.tubelet
    pixels_BCTHW = world.normalizer(video_BTCHW)
    grid = world.encoder.grid_of(pixels_BCTHW)
    mask = draw_mask(config.masks.all[0], 0, grid, len(video_BTCHW), seed)
    context_BXD = world.encoder(pixels_BCTHW, mask.context_BK, class_token=True)
    predicted_BMP = world.decoder(
        context_BXD, mask.context_BK, mask.target_BM, grid, mask.number, mask.groups
    )
    tubelets_BNP = patchify(video_BTCHW.transpose(1, 2), tubelet)
    true_BMP = gather_tokens(tubelets_BNP, mask.target_BM)
    restored_BMP = restore_pixels(predicted_BMP, true_BMP, kind, world.normalizer.mean, world.normalizer.std)

    shown_BNP = torch.full_like(tubelets_BNP, GREY)
    index_BKP = mask.context_BK.unsqueeze(-1).expand(-1, -1, tubelets_BNP.shape[-1])
    shown_BNP.scatter_(1, index_BKP, gather_tokens(tubelets_BNP, mask.context_BK))
    index_BMP = mask.target_BM.unsqueeze(-1).expand_as(true_BMP)
    filled_BNP = shown_BNP.scatter(1, index_BMP, _bytes(restored_BMP))
    rows = {"input": tubelets_BNP, "seen": shown_BNP, "reconstruction": filled_BNP}
    panels = [
        {
            name: unpatchify(part[clip : clip + 1], grid, tubelet)[0].transpose(0, 1)
            for name, part in rows.items()
        }
        for clip in range(len(video_BTCHW))
    ]
    truth_BMP = true_BMP.float() / 255
    by_channel = truth_BMP.unflatten(-1, (len(world.normalizer.mean), -1))
    figures = {
        "hidden pixels, reconstruction": psnr(restored_BMP, truth_BMP),
        "each hidden tubelet's true mean colour instead": psnr(
            by_channel.mean(dim=-1, keepdim=True).expand_as(by_channel), by_channel
        ),
        "the mean colour of all hidden pixels instead": psnr(
            by_channel.mean(dim=(0, 1, 3), keepdim=True).expand_as(by_channel), by_channel
        ),
    }
    borrowed = (
        ""
        if kind == "raw"
        else " Mean and contrast of each hidden tubelet are the true ones: they are not predicted."
    )
    return panels, f"Seen tubelets are the input's own.{borrowed}", figures


@torch.no_grad()
def read_out(
    world: WorldModel, config: Config, video_BTCHW: Tensor, train: ClipDataset, seed: int
) -> tuple[list[Panels], str, dict[str, float]]:
    """Panels, caption and figures of a decoder trained on frozen embeddings."""
    tubelet = world.encoder.tubelet
    grid = world.encoder.grid_of(video_BTCHW.transpose(1, 2))

    def patchify_bytes(video: Tensor) -> Tensor:
        return patchify(video.transpose(1, 2), tubelet)

    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)
        untrained = WorldModel(world.config).eval()
    truth_BNP = patchify_bytes(video_BTCHW).float() / 255
    rows = {"input": truth_BNP}
    figures = {}
    for name, model in (("from embeddings", world), ("from an untrained encoder's", untrained)):
        with torch.enable_grad():
            decoder = train_pixel_decoder(model.encode, patchify_bytes, train, grid, seed)
        rows[name] = decoder(model.encode(video_BTCHW))
        figures[f"pixels decoded {name}"] = psnr(rows[name].clamp(0, 1), truth_BNP)
    pixels_VNP, _ = extract_features(patchify_bytes, train, rows=spread_rows(len(train)))
    mean_BNP = (pixels_VNP.mean(dim=0) / 255).expand_as(truth_BNP)
    figures["the mean of the training clips instead"] = psnr(mean_BNP, truth_BNP)
    panels = [
        {
            name: unpatchify(_bytes(part[clip : clip + 1]), grid, tubelet)[0].transpose(0, 1)
            for name, part in rows.items()
        }
        for clip in range(len(video_BTCHW))
    ]
    return (
        panels,
        "A small decoder, trained on frozen embeddings of other clips: what it lacks, they dropped.",
        figures,
    )


def _bytes(pixels: Tensor) -> Tensor:
    return (255 * pixels.clamp(0, 1)).round().to(torch.uint8)


def _write(folder: Path, panels: Sequence[Panels], caption: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    draw_strip(panels, folder / "reconstruction.png", caption)
    for number, clip in enumerate(panels, 1):
        write_film(clip, folder / f"clip_{number}.mp4", FRAME_RATE)
    print(f"{folder / 'reconstruction.png'} and {len(panels)} films beside it")


if __name__ == "__main__":
    sys.exit(main())
