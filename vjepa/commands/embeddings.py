"""Show which videos are alike for a model: a page with a map of their embeddings, and the nearest of each.

    vjepa embeddings --model runs/quickstart --videos runs/quickstart/videos/test/manifest.csv
    vjepa embeddings --model runs/mine --videos FOLDER --most 300 --output alike.html

The embedding of a video is the mean of the tokens of one clip from its middle. Writes one HTML file, which
needs no other file: a map (t-SNE) on which similar videos are near, coloured by their labels where they have
some, and the most similar videos of the one that is chosen.

Exit status: 0 done; 1 some videos could not be read and were left out, or an unexpected error; 2 arguments
that cannot be used; 75 asked to stop; 130 interrupted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import vjepa.cpu_threads  # noqa: F401  (before torch)

# isort: split
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F
from tqdm import tqdm

from vjepa.config import checks
from vjepa.data.clips import EmptyRangeError
from vjepa.data.manifest import Video, read_manifest
from vjepa.data.readers.base import VideoDecodeError
from vjepa.evaluation.features.extract import spread_rows
from vjepa.files import name_of_model, ready_file, results_home
from vjepa.foreign_text import one_line
from vjepa.inference.device_options import add_device_options, placed
from vjepa.models.video_model import VideoModel
from vjepa.plots.embeddings_page import EmbeddingsPage, write_embeddings_page
from vjepa.plots.rgb import as_rgb
from vjepa.training.stop import command
from vjepa.weights.model_folder import from_pretrained

_PICTURE = 64  # Height and width of a picture in pixels, at most.
_FEWEST = 4


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status."""
    return 1 if _show(_parser().parse_args(arguments)) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="Run folder, model folder or released weights.")
    parser.add_argument(
        "--videos", required=True, help="Folder of videos, folder per class, manifest, or video."
    )
    parser.add_argument(
        "--most", type=int, default=1000, help="Largest number of videos, evenly spread (default 1000)."
    )
    parser.add_argument(
        "--output",
        help="HTML file to write (default: embeddings.html in the folder given by --model; for a file or a "
        "model on the hub, in a new folder of its name).",
    )
    add_device_options(parser)
    return parser


def _show(options: argparse.Namespace) -> int:
    """Write the page; returns the number of videos that cannot be read, which are named on stderr."""
    checks.options_at_least(options, most=_FEWEST)
    model = placed(from_pretrained(options.model), options)
    videos = read_manifest(options.videos)
    path = ready_file(options.output or results_home(options.model) / "embeddings.html")
    chosen = [videos[row] for row in spread_rows(len(videos), options.most)]
    read: list[Video] = []
    pictures: list[Tensor] = []
    embeddings: list[Tensor] = []
    for video in tqdm(chosen, unit="video", disable=None):
        try:
            picture, embedding = _look_at(model, video)
        except (VideoDecodeError, EmptyRangeError) as error:
            tqdm.write(one_line(f"not read: {error}"), file=sys.stderr)
            continue
        read.append(video)
        pictures.append(picture)
        embeddings.append(embedding)
    if len(read) < _FEWEST:
        raise ValueError(f"{len(read)} of {len(chosen)} videos can be read: give {_FEWEST} or more for a map")
    page = EmbeddingsPage(
        title=f"Which of {len(read)} videos are alike for {name_of_model(options.model)}?",
        names=[Path(video.path).name for video in read],
        labels=[video.label for video in read],
        pictures_VHWC=as_rgb(torch.stack(pictures)).permute(0, 2, 3, 1).numpy(),
        embeddings_VD=torch.cat(embeddings),
    )
    write_embeddings_page(path, page)
    print(f"{len(read)} of {len(chosen)} videos: {one_line(path)}")
    return len(chosen) - len(read)


@torch.no_grad()
def _look_at(model: VideoModel, video: Video) -> tuple[Tensor, Tensor]:
    """Return a small picture of a video and its embedding ``(1, D)``, from one clip in its middle."""
    clip_BTCHW = model.processor(video.path, start=video.start, end=video.end)
    middle_CHW = clip_BTCHW[0, clip_BTCHW.shape[1] // 2]
    picture_CHW = F.resize(middle_CHW, [_PICTURE, _PICTURE], antialias=True)
    device = next(model.parameters()).device
    return picture_CHW, model.encode(clip_BTCHW.to(device)).mean(dim=1).cpu()


if __name__ == "__main__":
    sys.exit(main())
