"""Writing rendered videos as real files, with a manifest and the value of every factor."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from vjepa.data.synthetic.render import render_video
from vjepa.data.synthetic.settings import SHAPES, RenderSettings
from vjepa.files import written_atomically
from vjepa.workers import pool

RATE_FACTOR = "10"  # constant rate factor of x264, whose artefacts are far weaker than the texture
KEYFRAME_DISTANCE = "8"  # largest number of frames that a seek decodes


def write_videos(
    folder: str | os.PathLike[str],
    settings: RenderSettings,
    num_videos: int,
    seed: int,
    num_workers: int = 1,
    *,
    first: int = 0,
) -> Path:
    """Write `num_videos` videos as ``.mp4`` files; return the path of their ``manifest.csv``.

    The columns of the manifest are ``path``, ``factors`` (an ``.npz`` with the factors that `render_video`
    returns) and ``label`` (name of the motion, or of the shape); paths are relative to the manifest. A folder
    that an earlier call with the same arguments filled in part is completed; every file is either whole or
    absent.

    Args:
        folder: Folder of the videos; it is created if it does not exist.
        settings: Settings of the rendered scenes.
        num_videos: Number of videos, 1 or more.
        seed: Random seed of the scenes.
        num_workers: Number of processes that render, 1 or more; frames do not depend on it.
        first: Number of the first video, 0 or more: videos of one seed and number are equal.

    Raises:
        ValueError: The folder was written with other arguments, or a number is below 1.
    """
    if num_videos < 1 or num_workers < 1:
        raise ValueError(f"num_videos is {num_videos} and workers {num_workers}: give 1 or more of each")
    folder = Path(folder)
    (folder / "videos").mkdir(parents=True, exist_ok=True)
    wanted = {"seed": seed, "num_videos": num_videos, "settings": asdict(settings)}
    claim_folder(folder / "render.json", wanted | ({"first": first} if first else {}))
    numbers = range(first, first + num_videos)
    missing = [number for number in numbers if not _written(folder, number)]
    write = partial(_write_video, folder, settings, seed)
    if num_workers == 1 or len(missing) < 2:
        _drain(map(write, missing))
    else:
        with pool(num_workers) as executor:
            _drain(executor.map(write, missing, chunksize=max(1, min(32, len(missing) // num_workers))))

    manifest = folder / "manifest.csv"
    with written_atomically(manifest) as draft:
        _write_manifest(draft, folder, settings, numbers)
    return manifest


def claim_folder(record: Path, wanted: dict[str, Any]) -> None:
    """Store the arguments in the folder, or raise ValueError if it was written with other arguments."""
    wanted = json.loads(json.dumps(wanted))  # tuples become lists, as in the file
    if not record.exists():
        with written_atomically(record) as draft:
            draft.write_text(json.dumps(wanted, indent=2) + "\n")
        return
    found = json.loads(record.read_text())
    # A setting that an older version did not have had the present default value.
    defaults = json.loads(json.dumps(asdict(RenderSettings())))
    found["settings"] = {**defaults, **found.get("settings", {})}
    if found == wanted:
        return
    before, now = _flat(found), _flat(wanted)
    names = [name for name in {**now, **before} if before.get(name) != now.get(name)]
    changes = ", ".join(f"{name} {before.get(name)} (now {now.get(name)})" for name in names)
    raise ValueError(
        f"{record.parent} holds videos made with other settings: {changes}; "
        "choose another folder or delete that one"
    )


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    return {**record.get("settings", {}), **{k: v for k, v in record.items() if k != "settings"}}


def _drain(results: Iterable[None]) -> None:
    for _ in results:  # raises the exception of a worker
        pass


def _name(number: int, suffix: str) -> str:
    return f"videos/{number:06d}{suffix}"


def _written(folder: Path, number: int) -> bool:
    return all((folder / _name(number, suffix)).exists() for suffix in (".mp4", ".npz"))


def _write_video(folder: Path, settings: RenderSettings, seed: int, number: int) -> None:
    frames, factors = render_video(settings, seed, number)
    with written_atomically(folder / _name(number, ".mp4")) as draft:
        encode_video(draft, frames, settings.frame_rate)
    with written_atomically(folder / _name(number, ".npz")) as draft:
        _save_factors(draft, factors)


def encode_video(path: Path, frames: NDArray[np.uint8], frame_rate: int) -> None:
    """Write frames ``(T, H, W, 3)`` as an .mp4 file, of which a frame depends only on the frames before
    it.
    """
    # With look-ahead, x264 is not deterministic at such sizes; this tuning turns it off.
    options = {"crf": RATE_FACTOR, "g": KEYFRAME_DISTANCE, "preset": "veryfast", "tune": "zerolatency"}
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=frame_rate, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1  # the output of x264 depends on the number of threads
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


def _save_factors(path: Path, factors: dict[str, NDArray[Any]]) -> None:
    with path.open("wb") as file:  # numpy appends .npz to a file name, but not to an open file
        np.savez_compressed(file, **factors)  # type: ignore[arg-type]  # no factor is called allow_pickle


def _write_manifest(path: Path, folder: Path, settings: RenderSettings, numbers: range) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label", "factors"))
        for number in numbers:
            label = _label(folder, settings, number)
            writer.writerow((_name(number, ".mp4"), label, _name(number, ".npz")))


def _label(folder: Path, settings: RenderSettings, number: int) -> str:
    if settings.labels == "motion":
        return settings.motions[number % len(settings.motions)]
    with np.load(folder / _name(number, ".npz")) as factors:
        return SHAPES[int(factors["shapes"][0, 0])]
