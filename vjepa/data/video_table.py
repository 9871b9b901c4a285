"""Videos of a large list as columns: a row stays bytes of the file until it is asked for.

A list of two million rows would take a gigabyte as Python objects, once in every process of a machine. Here a
column is two numbers a row, the begin and the end of its cell in the file; the file is memory-mapped, and so
shared by all processes.
"""

from __future__ import annotations

import bisect
import csv
import itertools
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from vjepa.data.video import Video

S = TypeVar("S")
T = TypeVar("T")

Bytes = NDArray[np.uint8]
Places = NDArray[Any]  # uint32, or int64 for a file of 4 GB or more

# File names need not be UTF-8: bytes that do not decode are kept, so that such a name still opens its file.
BYTES = "surrogateescape"
_CHUNK = 1 << 24  # bytes that are searched at a time
_ROWS = 4096  # rows that are read at a time
_CHUNK_ROWS = 1 << 17  # numbers that are read at a time
_LONGEST_NUMBER = 32  # characters of a number of seconds
_MARK = b"\xef\xbb\xbf"  # byte order mark
# What a plain list does not have: quotes, zero bytes, a lone \r, and what else may be white space for Python.
_NOT_PLAIN = re.compile(rb'["\x00\x0b\x0c\x1c-\x1e]|\r(?!\n)|\xc2\x85|\xe2\x80[\xa8\xa9]')
# First and last bytes that white space at the ends of a cell can have.
_BLANK_BYTES = np.array([9, 32, *range(0x80, 0x100)], dtype=np.uint8)


_CHANGED = "was changed while it is in use: write a new list to another file, or start again"


class _State(NamedTuple):
    """What tells a file from another one, or from its form after it was rewritten."""

    number: int
    bytes: int
    changed: int

    @staticmethod
    def of(path: str) -> _State:
        status = os.stat(path)
        return _State(status.st_ino, status.st_size, status.st_mtime_ns)


class _File:
    """A memory-mapped file. It may be replaced by another one, but not be rewritten in place."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.state = _State.of(path)
        self.data: Bytes = np.memmap(path, np.uint8, "r") if self.state.bytes else np.zeros(0, np.uint8)

    def __reduce__(self) -> tuple[Callable[[str, _State], _File], tuple[str, _State]]:
        return _File.again, (self.path, self.state)  # a process that is sent a table maps the file itself

    @staticmethod
    def again(path: str, state: _State) -> _File:
        """Map a file that another process has mapped; ValueError if it is another one now."""
        file = _File(path)
        if file.state != state:
            raise ValueError(f"{path} {_CHANGED}")
        return file

    def check(self) -> None:
        """Raise ValueError if the file was rewritten, since its cells may then be elsewhere."""
        try:
            now = _State.of(self.path)
        except FileNotFoundError:  # what is mapped stays
            return
        if now.number == self.state.number and now != self.state:
            raise ValueError(f"{self.path} {_CHANGED}")

    def part(self, begin: int, end: int) -> bytes:
        """Return the bytes from `begin` to `end`."""
        self.check()
        return self.data[begin:end].tobytes()


class VideoTable(Sequence[Video]):
    """Rows of a plain CSV file as a sequence of videos, each of which is made when it is asked for.

    Args:
        file: The file.
        cells: Begin and end of the cells in each column, ``(V,)`` each, by the column's name.
        seconds: Values of the columns ``start`` and ``end``; NaN where a cell is empty.
        absolute: Function from the path in a cell to the path of the video.
    """

    def __init__(
        self,
        file: _File,
        cells: Mapping[str, tuple[Places, Places]],
        seconds: Mapping[str, NDArray[np.float64]],
        absolute: Callable[[str], str],
    ) -> None:
        self._file, self._cells, self._seconds, self._absolute = file, dict(cells), dict(seconds), absolute

    def __len__(self) -> int:
        return len(self._cells["path"][0])

    @overload
    def __getitem__(self, row: int) -> Video: ...

    @overload
    def __getitem__(self, row: slice) -> VideoTable: ...

    def __getitem__(self, row: int | slice) -> Video | VideoTable:
        if isinstance(row, slice):
            return self._take(row)
        row = range(len(self))[row]
        return next(iter(self._take(slice(row, row + 1))))

    def __eq__(self, other: object) -> bool:
        """Return whether another sequence has the same videos."""
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(Video.__eq__, self, other))

    __hash__ = None  # type: ignore[assignment]

    def __iter__(self) -> Iterator[Video]:
        for begin in range(0, len(self), _ROWS):
            rows = slice(begin, begin + _ROWS)
            paths, labels, groups, subjects = (
                self._texts(name, rows) for name in ("path", "label", "group", "subject")
            )
            starts, ends = (self._values(name, rows) for name in ("start", "end"))
            for path, label, start, end, group, subject in zip(
                paths, labels, starts, ends, groups, subjects, strict=True
            ):
                assert path is not None
                yield Video(self._absolute(path), label, start, end, group or subject)

    @cached_property
    def labels(self) -> tuple[NDArray[np.int32], list[str]]:
        """Number of each row's label, -1 for none, and the distinct labels in the order of these numbers."""
        codes_V = np.full(len(self), -1, dtype=np.int32)
        known: dict[str | None, int] = {None: -1}
        for begin in range(0, len(self), _ROWS):
            texts = self._texts("label", slice(begin, begin + _ROWS))
            codes_V[begin : begin + len(texts)] = [known.setdefault(text, len(known) - 1) for text in texts]
        return codes_V, [name for name in known if name is not None]

    def _texts(self, column: str, rows: slice) -> list[str | None]:
        """Return the texts of neighbouring rows, which lie close together in the file."""
        if column not in self._cells:
            return [None] * len(range(len(self))[rows])
        begins, ends = (places[rows] for places in self._cells[column])
        first = int(begins[0])
        block = self._file.part(first, int(ends[-1]))
        pairs = zip((begins - begins[0]).tolist(), (ends - begins[0]).tolist(), strict=True)
        return [block[begin:end].decode("utf-8", BYTES) or None for begin, end in pairs]

    def _values(self, column: str, rows: slice) -> list[float | None]:
        if column not in self._seconds:
            return [None] * len(range(len(self))[rows])
        return [None if value != value else value for value in self._seconds[column][rows].tolist()]

    def _take(self, rows: slice | NDArray[np.bool_]) -> VideoTable:
        cells = {name: (begins[rows], ends[rows]) for name, (begins, ends) in self._cells.items()}
        seconds = {name: values[rows] for name, values in self._seconds.items()}
        return VideoTable(self._file, cells, seconds, self._absolute)


def label_codes(videos: Sequence[Video]) -> tuple[NDArray[np.int32], list[str]]:
    """Return the number of each video's label, -1 for none, and the distinct labels."""
    if isinstance(videos, VideoTable):
        return videos.labels
    known: dict[str, int] = {}
    codes = [-1 if video.label is None else known.setdefault(video.label, len(known)) for video in videos]
    return np.array(codes, dtype=np.int32), list(known)


class Mapped(Sequence[T]):
    """A function of each item of a sequence, computed when it is asked for.

    Args:
        function: The function.
        items: The sequence.
    """

    def __init__(self, function: Callable[[S], T], items: Sequence[S]) -> None:
        self._function, self._items = function, items

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, row: int) -> T: ...

    @overload
    def __getitem__(self, row: slice) -> list[T]: ...

    def __getitem__(self, row: int | slice) -> T | list[T]:
        if isinstance(row, slice):
            return list(map(self._function, self._items[row]))
        return self._function(self._items[row])

    def __iter__(self) -> Iterator[T]:
        return map(self._function, self._items)


class ChainedVideos(Sequence[Video]):
    """Several lists of videos, one after the other, without a copy.

    Args:
        parts: The lists.
    """

    def __init__(self, parts: Sequence[Sequence[Video]]) -> None:
        self.parts = [part for part in parts if len(part)]
        self._ends = list(itertools.accumulate(map(len, self.parts)))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, row: int) -> Video: ...

    @overload
    def __getitem__(self, row: slice) -> list[Video]: ...

    def __getitem__(self, row: int | slice) -> Video | list[Video]:
        if isinstance(row, slice):
            return [self[number] for number in range(len(self))[row]]
        row = range(len(self))[row]
        part = bisect.bisect_right(self._ends, row)
        return self.parts[part][row - (self._ends[part - 1] if part else 0)]

    def __iter__(self) -> Iterator[Video]:
        return itertools.chain(*self.parts)


def read_plain_csv(path: str, select: Mapping[str, str], absolute: Callable[[str], str]) -> VideoTable | None:
    """Read a CSV or tab-separated file with the column ``path``; None if it needs a thorough reader.

    That is so if the file has quotes, rows of another length than the header, white space around a cell, a
    row without a path or with wrong seconds, no row that is selected, or anything else that is unusual or an
    error. The thorough reader gives the same videos, or the reason.

    Args:
        path: The file.
        select: Value that each of some columns must have.
        absolute: Function from the path in a cell to the path of the video.
    """
    file = _File(path)
    data = file.data
    if _NOT_PLAIN.search(data.data):
        return None
    begins, ends = _lines(data)
    if not len(begins):
        return None
    header = data[begins[0] : ends[0]].tobytes()
    delimiter = b"\t" if b"\t" in header else b","
    names = [name.strip().decode("utf-8", BYTES) for name in header.split(delimiter)]
    if "path" not in names or len(set(names)) < len(names) or set(select) - set(names):
        return None
    bounds = _bounds(data, begins[1:], ends[1:], ord(delimiter), len(names))
    if bounds is None:
        return None
    columns = {name: (bounds[number] + 1, bounds[number + 1]) for number, name in enumerate(names)}
    wanted = {name: columns[name] for name in names if name in _COLUMNS}
    if not len(wanted["path"][0]) or not all(
        _is_tidy(data, *columns[name]) for name in wanted.keys() | select.keys()
    ):
        return None
    if (wanted["path"][0] == wanted["path"][1]).any():
        return None
    seconds = {}
    for name in _SECONDS & wanted.keys():
        values = _numbers(data, *wanted.pop(name))
        if values is None:
            return None
        seconds[name] = values
    if not _in_order(seconds):
        return None
    table = VideoTable(file, wanted, seconds, absolute)
    if not select:
        return table
    kept = np.logical_and.reduce([_equal(data, *columns[name], value) for name, value in select.items()])
    return table._take(kept) if kept.any() else None


_SECONDS = {"start", "end"}
_COLUMNS = {"path", "label", "group", "subject", *_SECONDS}


def _lines(data: Bytes) -> tuple[Places, Places]:
    """Return begin and end of each line that is not empty, without line ends and byte order mark."""
    ends = _places(data, 10)
    if len(data) and data[-1] != 10:
        ends = np.append(ends, ends.dtype.type(len(data)))
    begins = np.concatenate([np.zeros(1, ends.dtype), ends[:-1] + 1]) if len(ends) else ends
    if data[:3].tobytes() == _MARK:
        begins[0] = 3
    ends = ends - ((ends > begins) & (data[np.maximum(ends, 1) - 1] == 13)) if len(ends) else ends
    full = ends > begins
    return begins[full], ends[full]


def _places(data: Bytes, value: int) -> Places:
    """Return where a byte occurs, ascending."""
    kind = np.uint32 if len(data) < 1 << 32 else np.int64
    found = [
        (np.flatnonzero(data[at : at + _CHUNK] == value) + at).astype(kind)
        for at in range(0, len(data), _CHUNK)
    ]
    return np.concatenate([np.zeros(0, kind), *found])


def _bounds(data: Bytes, begins: Places, ends: Places, delimiter: int, columns: int) -> list[Places] | None:
    """Return the places before, between and after the cells of the rows; None if rows differ in length."""
    marks = _places(data, delimiter)
    marks = marks[np.searchsorted(marks, begins[0] if len(begins) else len(data)) :]
    if len(marks) != (columns - 1) * len(begins):
        return None
    marks = marks.reshape(len(begins), columns - 1)
    if columns > 1 and not ((marks[:, 0] >= begins) & (marks[:, -1] < ends)).all():
        return None
    return [begins - 1, *(np.ascontiguousarray(marks[:, number]) for number in range(columns - 1)), ends]


def _is_tidy(data: Bytes, begins: Places, ends: Places) -> bool:
    """Return whether no cell begins or ends with what may be white space, or is longer than csv allows.

    A cell that ends with a letter outside ASCII counts as untidy, which costs time alone.
    """
    full = ends > begins
    if (ends - begins).max(initial=0) > csv.field_size_limit():
        return False
    at_ends = np.concatenate([data[begins[full]], data[ends[full] - 1]])
    return not np.isin(at_ends, _BLANK_BYTES).any()


def _equal(data: Bytes, begins: Places, ends: Places, value: str) -> NDArray[np.bool_]:
    """Return which cells hold exactly a text."""
    wanted = np.frombuffer(value.encode("utf-8", BYTES), dtype=np.uint8)
    equal = ends - begins == len(wanted)
    rows = np.flatnonzero(equal)
    for number, byte in enumerate(wanted):
        rows = rows[data[begins[rows] + number] == byte]
    kept = np.zeros(len(begins), dtype=bool)
    kept[rows] = True
    return kept


def _numbers(data: Bytes, begins: Places, ends: Places) -> NDArray[np.float64] | None:
    """Return the numbers in cells, NaN for empty ones; None if a cell holds no finite number."""
    values = np.full(len(begins), np.nan)
    full = np.flatnonzero(ends > begins)
    width = int((ends - begins).max(initial=0))
    if width > _LONGEST_NUMBER:
        return None
    place = np.arange(width)
    for rows in np.array_split(full, len(full) // _CHUNK_ROWS + 1) if width else ():
        lengths = (ends[rows] - begins[rows])[:, None]
        text = data[np.minimum(begins[rows][:, None] + place, len(data) - 1)]
        text[place >= lengths] = 0
        try:
            values[rows] = np.ascontiguousarray(text).view(f"S{width}")[:, 0].astype(np.float64)
        except ValueError:
            return None
    return values if np.isfinite(values[full]).all() else None


def _in_order(seconds: Mapping[str, NDArray[np.float64]]) -> bool:
    """Return whether no row starts before 0, or ends before it starts."""
    start = seconds.get("start", np.zeros(1))
    end = seconds.get("end", np.full(1, np.nan))
    begun = np.nan_to_num(start, nan=0.0)
    return bool((begun >= 0).all() and (np.isnan(end) | (end > begun)).all())
