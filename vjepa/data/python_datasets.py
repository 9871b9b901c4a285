"""Datasets of Python as lists of videos: those of torchvision and Hugging Face, or of your own.

A dataset has ``len`` and items by their number. A list of videos is given as ``python:MODULE:NAME``, where
NAME is a dataset in a module, or a function without arguments that returns one. Its video number 3 has the
path ``python:MODULE:NAME#3``.

In a call of Python, the dataset itself may be given; a list whose elements are not all text is one, too. It
is named by its class and the setting that has it, ``python:MODULE:CLASS:data.train``, so that the same call
is the same run, in this process or a later one. The name stands for the dataset of the latest call.

An item is one of

- frames: a uint8 tensor or array ``(T, C, H, W)`` in [0, 255], floats in [0, 1], or a list of PIL images;
- the path of a video, a folder of frames or a ``.npy`` array;
- a decoder of torchcodec, which has times of its own, as Hugging Face's column of videos gives it; or, of a
  column that is not decoded, a dictionary of ``path`` and ``bytes``;
- a tuple that begins with one of these, as torchvision's datasets give it;
- a dictionary with one of these as ``video``, ``pixel_values``, ``frames`` or ``path``, and optionally
  ``fps``, its frame rate in frames per second.

Labels must be known before items are read: as ``labels`` or ``targets`` of the dataset, one for each item; or
as the column ``label`` of a Hugging Face dataset. Groups, which must stay in one split, are ``groups``.
None, NaN and an empty text are no label and no group, and so is -1 in a column of classes.
"""

from __future__ import annotations

import functools
import importlib
import math
import os
import re
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, overload

import numpy as np

from vjepa.data.memory import clips_in_memory
from vjepa.data.readers.arrays import ArrayReader
from vjepa.data.readers.base import VideoDecodeError, VideoReader
from vjepa.data.readers.border import reading
from vjepa.data.video import Video

PREFIX = "python:"
_READER = "python"
_ITEM = re.compile(r"(python:.+)#(\d+)", re.DOTALL)
_VIDEO_KEYS = ("video", "pixel_values", "frames", "path")
_given: dict[str, Callable[[], Any]] = {}  # what returns a dataset that was given to a call, by its name


def is_item(path: str) -> bool:
    """Return whether a path names an item of a dataset of Python."""
    return _ITEM.fullmatch(path) is not None


def name_dataset(dataset: Any, key: str) -> str:
    """Give a dataset a name by which lists of videos find it in this process, and return the name.

    The name is that of the latest dataset of this class and key. It does not keep the dataset alive, except
    for lists and tuples, which know no weak references.

    Args:
        dataset: Dataset with a length and items by their number.
        key: Setting that has the dataset, such as ``data.train``.

    Raises:
        TypeError: The object is no dataset.
    """
    if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
        raise TypeError(
            f"{key} is of type {type(dataset).__name__}, which has no length and no items by number: give a "
            "list of videos (a file or folder) or a map-style dataset"
        )
    name = f"{PREFIX}{type(dataset).__module__}:{type(dataset).__qualname__}:{key}"
    _given[name] = _held(dataset)
    return name


def _held(dataset: Any) -> Callable[[], Any]:
    try:
        return weakref.ref(dataset)
    except TypeError:
        return lambda: dataset


def dataset_of(name: str) -> Any:
    """Return the dataset of a name; one that was not given to a call in this process is imported.

    Raises:
        ValueError: There is no such dataset.
    """
    dataset = _given[name]() if name in _given else None
    return _imported(name) if dataset is None else dataset


@functools.cache
def _imported(name: str) -> Any:
    module, _, attribute = name.removeprefix(PREFIX).partition(":")
    if ":" in attribute:
        raise ValueError(
            f"the dataset {name} was given to a call of Python: give it again, vjepa.pretrain(data=DATASET), "
            "or name a function that makes it, python:MODULE:FUNCTION"
        )
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"{name} cannot be imported ({error}): give python:MODULE:NAME, with a module that Python finds "
            "(PYTHONPATH) and a dataset, or a function that returns one, in it"
        ) from error
    return found if hasattr(found, "__getitem__") and hasattr(found, "__len__") else found()


class DatasetVideos(Sequence[Video]):
    """The items of a dataset as a list of videos. Pickled, it takes the dataset with it.

    Args:
        name: Name of the dataset, see `dataset_of`.
        rows: Numbers of the items; None takes all.
    """

    def __init__(self, name: str, rows: range | None = None) -> None:
        self._name, self._dataset = name, dataset_of(name)
        self._rows = range(len(self._dataset)) if rows is None else rows
        self._labels = _column(self._dataset, ("labels", "targets", "label"))
        self._groups = _column(self._dataset, ("groups", "group"))
        for what, column in (("labels", self._labels), ("groups", self._groups)):
            if column is not None and len(column.values) != len(self._dataset):
                raise ValueError(
                    f"{name} has {len(self._dataset)} items and {len(column.values)} {what}: give one for "
                    "each item"
                )

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self._name not in _given or _given[self._name]() is None:
            _given[self._name] = _held(self._dataset)

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, row: int) -> Video: ...

    @overload
    def __getitem__(self, row: slice) -> DatasetVideos: ...

    def __getitem__(self, row: int | slice) -> Video | DatasetVideos:
        if isinstance(row, slice):
            return DatasetVideos(self._name, self._rows[row])
        number = self._rows[row]
        return Video(
            f"{self._name}#{number}",
            label=self._text("label", self._labels, number),
            group=self._text("group", self._groups, number),
        )

    def __iter__(self) -> Iterator[Video]:
        return map(self.__getitem__, range(len(self)))

    def _text(self, kind: str, column: _Column | None, number: int) -> str | None:
        try:
            return None if column is None else column.text(number)
        except ValueError as error:
            raise ValueError(f"the {kind} of item {number} of the dataset {self._name} {error}") from error


class _Column(NamedTuple):
    """Labels or groups of a dataset.

    Attributes:
        values: Value of each item.
        classes: Hugging Face's description of classes, where the values are their numbers; else None.
    """

    values: Sequence[Any]
    classes: Any = None

    def text(self, number: int) -> str | None:
        """Return the value of an item as text; None if it is missing.

        Raises:
            ValueError: It is no value that can be used; the message lacks its subject.
        """
        value = self.values[number]
        if math.prod(getattr(value, "shape", (0,))) == 1:  # of torch or numpy
            value = value.item()
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return None
        if not isinstance(value, str | int | float):
            kind = type(value).__name__
            raise ValueError(f"is {value!r} of type {kind}: give a text or a number, or None for none")
        if self.classes is None:
            return str(value).strip() or None
        if value == -1:
            return None
        if value not in range(self.classes.num_classes):
            count = self.classes.num_classes
            raise ValueError(f"is {value}: give the number of one of the {count} classes, or None for none")
        return str(self.classes.int2str(int(value)))


def _column(dataset: Any, names: Sequence[str]) -> _Column | None:
    """Return an attribute, or a column of a Hugging Face dataset; None if there is none."""
    columns = getattr(dataset, "column_names", ())
    for name in names:
        if isinstance(columns, list) and name in columns:
            feature = dataset.features[name]
            return _Column(list(dataset[name]), feature if hasattr(feature, "int2str") else None)
        values: Any = getattr(dataset, name, None)
        if hasattr(values, "tolist"):
            return _Column(values.tolist())
        if isinstance(values, Sequence):
            return _Column(values)
    return None


Open = Callable[[str], VideoReader]


def open_item(path: str, open_file: Open, fps: float, channels: int) -> VideoReader:
    """Open an item of a dataset as a video.

    Args:
        path: Name of the dataset and number of the item.
        open_file: Function that opens an item that is a file.
        fps: Frame rate in frames per second of frames that have none of their own.
        channels: Number of pixel channels.

    Raises:
        VideoDecodeError: The item is no video, or the dataset raises an error instead of giving it.
        ValueError: There is no such dataset.
    """
    parts = _ITEM.fullmatch(path)
    assert parts is not None, path
    dataset, number = dataset_of(parts[1]), int(parts[2])
    with reading(path, _READER):
        try:
            return _opened(dataset[number], path, open_file, fps, channels)
        except VideoDecodeError as error:
            raise VideoDecodeError(path, error.reader, error.cause) from error
        except ValueError as error:
            raise VideoDecodeError(path, _READER, str(error)) from error


def _opened(item: Any, path: str, open_file: Open, fps: float, channels: int) -> VideoReader:
    if isinstance(item, Mapping):
        if item.get("bytes") is not None:
            return _of_bytes(item["bytes"], path, open_file)
        key = next((key for key in _VIDEO_KEYS if key in item), None)
        if key is None:
            raise ValueError(
                f"the item is a dictionary of {', '.join(map(str, item))}: name its video one of "
                f"{', '.join(_VIDEO_KEYS)}"
            )
        given = item.get("fps")
        fps = fps if given is None else float(given)
        if not fps > 0:
            raise ValueError(f"the item's fps is {fps}: give a number of frames a second above 0, or None")
        return _opened(item[key], path, open_file, fps, channels)
    if isinstance(item, tuple):
        if not item:
            raise ValueError("the item is an empty tuple: give one that begins with a video")
        return _opened(item[0], path, open_file, fps, channels)
    if isinstance(item, str | os.PathLike):
        return open_file(os.fspath(item))
    if hasattr(item, "get_frames_in_range"):  # a decoder of torchcodec
        batch = item.get_frames_in_range(0, len(item))
        times_T = batch.pts_seconds.numpy()
        return ArrayReader(path, _frames_THWC(batch.data, channels), times_T - times_T[0])
    frames_THWC = _frames_THWC(item, channels)
    return ArrayReader(path, frames_THWC, np.arange(len(frames_THWC)) / fps)


def _frames_THWC(pixels: Any, channels: int) -> np.ndarray:
    clips = clips_in_memory(pixels, channels)
    if len(clips) != 1:
        raise ValueError(f"the item holds {len(clips)} clips: give one, of the shape (T, C, H, W)")
    frames_THWC: np.ndarray = clips[0].permute(0, 2, 3, 1).contiguous().numpy()
    return frames_THWC


def _of_bytes(content: bytes, path: str, open_file: Open) -> VideoReader:
    """Decode a whole video that is given as the bytes of its file."""
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        file.write(content)
        file.flush()
        with open_file(file.name) as video:
            frames_TCHW = video.get_frames(range(len(video)))
            frames_THWC = frames_TCHW.permute(0, 2, 3, 1).contiguous().numpy()
            return ArrayReader(path, frames_THWC, video.timestamps, video.damage)
