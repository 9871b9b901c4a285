"""One self-contained page of many videos: a map on which similar videos are near, and the nearest of each."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vjepa.foreign_text import in_page, one_line
from vjepa.plots.colours import SERIES, UNLABELLED
from vjepa.plots.sprite import sprite_columns, sprite_url

NEAREST = 8  # videos shown beside the chosen one


@dataclass(frozen=True)
class EmbeddingsPage:
    """Videos and their embeddings.

    Attributes:
        title: Title of the page.
        names: Name of each video.
        labels: Label of each video; None for a video without one.
        pictures_VHWC: A small picture of each video, uint8.
        embeddings_VD: Embedding of each video.
    """

    title: str
    names: Sequence[str]
    labels: Sequence[str | None]
    pictures_VHWC: NDArray[np.uint8]
    embeddings_VD: Tensor


def write_embeddings_page(path: Path, page: EmbeddingsPage) -> None:
    """Write a page as one HTML file, which needs no other file and no network.

    The map is t-SNE's (scikit-learn), with a fixed seed, on cosine distances of centred embeddings.
    """
    similar_VV = similarities(page.embeddings_VD)
    nearest_Vn = similar_VV.argsort(dim=1, descending=True, stable=True)[:, :NEAREST]
    classes = sorted({label for label in page.labels if label is not None})
    data = {
        "places": _map(similar_VV),
        "names": [one_line(name) for name in page.names],
        "labels": [-1 if label is None else classes.index(label) for label in page.labels],
        "classes": [one_line(name) for name in classes],
        "nearest": nearest_Vn.tolist(),
        "similarity": [[round(float(value), 3) for value in row] for row in similar_VV.gather(1, nearest_Vn)],
        "colours": SERIES,
        "unlabelled": UNLABELLED,
        "size": [page.pictures_VHWC.shape[2], page.pictures_VHWC.shape[1]],
        "columns": sprite_columns(len(page.names)),
        "pictures": sprite_url(page.pictures_VHWC, "JPEG"),
    }
    template = Template(files("vjepa.plots").joinpath("embeddings_page.html").read_text(encoding="utf-8"))
    text = template.substitute(
        title=in_page(page.title),
        summary=in_page(agreement(page.labels, nearest_Vn[:, 0].tolist())),
        table=_table(page, nearest_Vn[:, 0].tolist()),
        data=json.dumps(data).replace("<", "\\u003c"),
    )
    path.write_text(text, encoding="utf-8")


def similarities(embeddings_VD: Tensor) -> Tensor:
    """Return the cosine similarity of each pair of centred embeddings, ``(V, V)``; -1 of each with itself."""
    centred_VD = embeddings_VD - embeddings_VD.mean(dim=0)
    unit_VD = torch.nn.functional.normalize(centred_VD, dim=1)
    return (unit_VD @ unit_VD.T).fill_diagonal_(-1)


def agreement(labels: Sequence[str | None], nearest: Sequence[int]) -> str:
    """Say how often a video's nearest other video has its label, and how often that would be by chance.

    Args:
        labels: Label of each video.
        nearest: Number of the video that is nearest to each.
    """
    rows = [row for row, label in enumerate(labels) if label is not None]
    if len(rows) < len(labels) or len(set(labels)) < 2:
        return f"Each point is one of {len(labels)} videos; similar embeddings are near each other."
    same = sum(labels[row] == labels[nearest[row]] for row in rows)
    pairs = sum(count * (count - 1) for count in Counter(labels).values())
    chance = pairs / (len(rows) * (len(rows) - 1))
    return (
        f"For {same} of {len(rows)} videos ({same / len(rows):.0%}), the video with the most similar "
        f"embedding has the same label; of videos that were paired at random, {chance:.0%} would."
    )


def _map(similar_VV: Tensor) -> list[list[float]]:
    """Return places on a map of 0 to 1000 in both directions."""
    # Imported here, because scikit-learn takes a second, which commands without it are spared.
    from sklearn.manifold import TSNE

    distances_VV = (1 - similar_VV).clamp(min=0).fill_diagonal_(0).numpy()
    perplexity = min(30.0, (len(distances_VV) - 1) / 3)
    solver = TSNE(metric="precomputed", init="random", perplexity=perplexity, random_state=0)
    places_V2 = solver.fit_transform(distances_VV)
    low, high = places_V2.min(axis=0), places_V2.max(axis=0)
    scaled_V2 = 1000 * (places_V2 - low) / np.maximum(high - low, 1e-9)
    return [[round(float(x), 1), round(float(y), 1)] for x, y in scaled_V2]


def _table(page: EmbeddingsPage, nearest: Sequence[int]) -> str:
    rows = [
        "".join(f"<td>{in_page(cell or '')}</td>" for cell in cells)
        for cells in zip(
            page.names,
            page.labels,
            [page.names[other] for other in nearest],
            [page.labels[other] for other in nearest],
            strict=True,
        )
    ]
    head = "".join(f"<th>{name}</th>" for name in ("video", "label", "most similar video", "its label"))
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody>\n</table>"
