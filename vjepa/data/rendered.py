"""Recognises videos that this library rendered, so that a model trained only on them can warn of others."""

from __future__ import annotations

from pathlib import Path

FOREIGN = (
    "the model was trained on rendered videos alone and has never seen images like these: "
    "its output for them means nothing"
)


def is_rendered(path: str | Path) -> bool:
    """Return whether a video, a manifest or a folder of videos lies where `vjepa.data.synthetic` wrote it.

    Its writers leave ``render.json``, the settings of the rendering, in the manifest's folder; videos lie one
    folder below. A manifest may carry a selection: ``FILE?column=value``.
    """
    place = Path(str(path).partition("?")[0])
    return any((folder / "render.json").is_file() for folder in (place, *place.parents[:2]))
