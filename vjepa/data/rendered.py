"""Which videos this library rendered itself: a model of them knows no others."""

from __future__ import annotations

from pathlib import Path

FOREIGN = "the model was trained on rendered videos alone and has never seen images like these: what it says of them means nothing"


def is_rendered(path: str | Path) -> bool:
    """Whether a video, or a manifest or folder of them, lies where `vjepa.data.synthetic` wrote it.

    Its writers leave ``render.json``, what they rendered, in the folder of the manifest; videos are one folder below. A
    manifest may have a part named: ``FILE?column=value``.
    """
    place = Path(str(path).partition("?")[0])
    return any((folder / "render.json").is_file() for folder in (place, *place.parents[:2]))
