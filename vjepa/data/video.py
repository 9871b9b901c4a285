"""One video of a list."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Video:
    """One row of a manifest.

    Attributes:
        path: Absolute path of a video file, a folder of images, a single image or a ``.npy`` array.
        label: Class name; None for an unlabelled video.
        start, end: Time range to use, in seconds from the first frame; None leaves that side open.
        group: Name shared by videos that must stay in the same split (one person, place or source); None
            where no group is given.
    """

    path: str
    label: str | None = None
    start: float | None = None
    end: float | None = None
    group: str | None = None
