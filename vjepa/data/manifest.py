"""Manifests: lists of videos with labels, time ranges and groups, read from CSV, JSONL, text or folders."""

from __future__ import annotations

import csv
import difflib
import io
import itertools
import json
import os
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from vjepa.data.clips import check_range
from vjepa.data.python_datasets import PREFIX, DatasetVideos, is_item
from vjepa.data.readers.arrays import IMAGE_SUFFIXES, natural_key
from vjepa.data.remote import RemoteError, is_url, joined, local_list, source_of
from vjepa.data.video import Video as Video
from vjepa.data.video_table import BYTES, ChainedVideos, VideoTable, read_plain_csv
from vjepa.files import written_atomically

VIDEO_SUFFIXES = frozenset(
    [".avi", ".mp4", ".mov", ".mkv", ".webm", ".flv", ".mpg", ".mpeg", ".m4v", ".3gp"]
    + [".ts", ".m2ts", ".mts", ".wmv", ".ogv", ".gif", ".npy"]
)
COLUMNS = ("path", "label", "start", "end", "group")
_SUFFIXES = VIDEO_SUFFIXES | IMAGE_SUFFIXES
_HIDDEN = (".", "__")  # such as .git and __MACOSX
_FRAMES = 4  # Images for each video beside them from which on they are frames; fewer only illustrate.
_WHOLE = re.compile(r"-?\d+")
# A path with a known suffix, followed by words without a slash.
_ENDED = re.compile(
    rf"(.*(?:{'|'.join(re.escape(suffix) for suffix in sorted(_SUFFIXES))}))\s+([^/]+)",
    re.I,
)
# Column names that reveal a header although it lacks the column `path`.
_HEADER_WORDS = {
    "label",
    "class",
    "start",
    "end",
    "video",
    "file",
    "filename",
    "video_path",
    "filepath",
    "id",
}


def read_manifest(source: str | Path, *, images: bool = False) -> Sequence[Video]:
    """Read a list of videos, without checking that they exist or decode.

    Rows of a plain CSV file stay in the file until they are asked for (`vjepa.data.video_table`), so that
    millions of them take little memory; the file may then be replaced, but not be rewritten in place.

    `source` is one of

    - a CSV file (comma- or tab-separated) whose header has ``path`` and optionally ``label``, ``start`` and
      ``end`` (seconds), and ``group`` or ``subject``;
    - a ``.jsonl`` file of objects with the same keys;
    - a text file of lines ``path label`` as in V-JEPA and VideoMAE: the last field, after white space, a
      comma, a tab or ``::``, is the label; a line that is only a path is unlabelled. Lines with two whole
      numbers, ``path frames label`` or ``path start frames``, are VideoMAE's formats, see `_from_lines`;
    - a folder with one folder of videos per class, or a folder of videos (unlabelled);
    - a video or image, which is a list of one video; it may also be a URL or a part of a tar file;
    - ``python:MODULE:NAME``, a dataset of Python (`vjepa.data.python_datasets`).

    A folder of images and a ``.npy`` array each count as one video; a single image in a list is a video of
    one frame. A folder is made of frames if it has four images or more for each video or folder of
    videos beside them; with fewer, such as thumbnails, the images are left out.

    Paths may be URLs or parts of tar files (`vjepa.data.remote`), and so may `source` be the URL of a list.
    They may be items of a dataset of Python (``python:MODULE:NAME#3``), too. Relative paths are relative to
    the manifest's folder. ``FILE.csv?split=train`` keeps the rows of a CSV or JSONL file whose column `split`
    is `train`; with ``?split=train&person=3`` both conditions must hold.

    Args:
        source: Path of the manifest, folder or video, with an optional ``?column=value`` selection.
        images: Whether each image in a folder is a sample of its own, for training on single frames; a folder
            of images per class then labels them.

    Raises:
        ValueError: A line or the selection is wrong, or no video remains; the message names the line and the
            reason.
        FileNotFoundError: There is no such file or folder.
    """
    if str(source).startswith(PREFIX):
        return _read_dataset(str(source))
    if source_of(str(source)) and _has_suffix(str(source).partition("?")[0]):
        return [Video(_absolute(str(source), Path.cwd()))]
    path, select = (source, {}) if os.path.exists(source) else _selection(str(source))
    if is_url(path):
        return _read_remote(str(path), select)
    return _read_local(Path(os.path.abspath(path)), select, images)


def _read_local(source: Path, select: Mapping[str, str], images: bool) -> Sequence[Video]:
    is_video = _has_suffix(str(source))
    if not source.exists():
        raise FileNotFoundError(
            f"there is no {'video' if is_video else 'manifest'} {source}: give a CSV, JSONL or text file, a "
            "video, or a folder"
        )
    if is_video and source.is_file():
        _refuse_select(select, source)
        return [Video(str(source))]
    if source.is_dir():
        _refuse_select(select, source)
        videos: Sequence[Video] = _read_folder(source, images)
    else:
        try:
            videos = _read_file(source, select, source.parent)
        except csv.Error as error:
            raise ValueError(f"{source} cannot be read as CSV ({error}): write it again") from error
    if not videos:
        raise ValueError(f"the manifest {source} names no video: give one a line, or a folder of them")
    return videos


def other_cells(source: str | Path) -> list[dict[str, str]]:
    """Read the columns of a list that videos have no place for, such as ``split``, for `write_manifest`.

    Args:
        source: What `read_manifest` has read.

    Returns:
        The further cells of each video by the names of their columns, in the order of `read_manifest`; empty
        where there are none, as in a folder or for a single video.
    """
    if str(source).startswith(PREFIX) or _has_suffix(str(source).partition("?")[0]):
        return []
    path, select = (source, {}) if os.path.exists(source) else _selection(str(source))
    file = Path(local_list(str(path)) if is_url(path) else path)
    rows = None if file.is_dir() else _table_rows(file, _text_of(file))
    found = [
        {name: _text(value) or "" for name, value in row.items() if name not in COLUMNS}
        for _, row in rows or ()
        if _is_selected(row, select)
    ]
    return found if any(found) else []


def _read_dataset(name: str) -> Sequence[Video]:
    videos = DatasetVideos(name)
    if not videos:
        raise ValueError(f"the dataset {name} is empty: give one with items")
    return videos


def _read_remote(url: str, select: Mapping[str, str]) -> Sequence[Video]:
    """Read a list by its URL; relative paths are relative to the URL of its folder."""
    hint = (
        f". What stands behind the ? of a list's address selects rows, here those with {dict(select)}: "
        "download a list whose address has a query of its own"
    ) * bool(select)
    try:
        copy = Path(local_list(url))
    except FileNotFoundError:
        raise FileNotFoundError(
            f"there is no manifest {url}: give the URL of a list, not of a folder{hint}"
        ) from None
    except RemoteError as error:
        raise RemoteError(f"{error}{hint}") from error
    try:
        videos = _read_file(copy, select, posixpath.dirname(url))
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{str(error).replace(str(copy), url)}{hint}") from error
    if not videos:
        raise ValueError(f"the manifest {url} names no video: give one a line")
    return videos


def _selection(source: str) -> tuple[str, dict[str, str]]:
    """Split ``PATH?column=value&column=value`` into the path and the required value of each column."""
    path, _, query = source.partition("?")
    conditions = query.split("&") if query else []
    if wrong := [condition for condition in conditions if "=" not in condition]:
        raise ValueError(f"{source} selects by '{wrong[0]}': give column=value, as in FILE.csv?split=train")
    pairs = [condition.split("=", 1) for condition in conditions]
    if len({column for column, _ in pairs}) < len(pairs):
        raise ValueError(f"{source} selects by one column twice: a row has one value in it, so give one")
    return path, dict(pairs)


def write_manifest(
    path: str | Path, videos: Iterable[Video], others: Sequence[Mapping[str, str]] = ()
) -> None:
    """Write a CSV manifest for `read_manifest`; paths below its folder are written relative to it.

    Args:
        path: File to write.
        videos: Rows of the list.
        others: Further cells of each row by the names of their columns, see `other_cells`; empty for none.
    """
    folder = Path(os.path.abspath(path)).parent
    # The videos may be rows of the very file that is written, which is therefore replaced as a whole.
    target = Path(os.path.realpath(path))
    special = target.exists() and not target.is_file()  # a pipe or a device
    with (
        nullcontext(target) if special else written_atomically(target) as draft,
        draft.open("w", newline="", encoding="utf-8", errors=BYTES) as file,
    ):
        writer = csv.writer(file)
        names = list(dict.fromkeys(name for row in others for name in row))
        writer.writerow([*COLUMNS, *names])
        further = ([row.get(name, "") for name in names] for row in others)
        for video, more in zip(videos, further if others else itertools.repeat([]), strict=bool(others)):
            cells = (_written(video.path, folder), video.label, video.start, video.end, video.group)
            writer.writerow([*("" if cell is None else cell for cell in cells), *more])


def _written(path: str, folder: Path) -> str:
    """Return a path as it is written to a list in a folder, so that reading the list gives it back."""
    shown = os.path.relpath(path, folder) if Path(path).is_relative_to(folder) else path
    # White space around a cell is no part of it, and a path that begins with ~ is one in a user's folder.
    altered = shown != shown.strip() or shown.startswith("~")
    return os.path.join(".", shown, ".") if altered and not (is_url(path) or is_item(path)) else shown


def class_names(videos: Iterable[Video]) -> list[str]:
    """Return the distinct labels, sorted; in numerical order if all of them are whole numbers."""
    names = set(_labels(videos))
    if all(re.fullmatch(r"-?\d+", name) for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def _labels(videos: Iterable[Video]) -> Iterator[str]:
    if isinstance(videos, ChainedVideos):
        return itertools.chain.from_iterable(map(_labels, videos.parts))
    if isinstance(videos, VideoTable):
        return iter(videos.labels[1])
    return (video.label for video in videos if video.label is not None)


def _read_file(source: Path, select: Mapping[str, str], home: Path | str) -> Sequence[Video]:
    """Read a list; `home` is the folder, or the URL of a folder, that relative paths are relative to."""
    if source.suffix.lower() != ".jsonl":
        table = read_plain_csv(str(source), select, partial(_absolute, folder=home))
        if table is not None:
            return table
    text = _text_of(source)
    rows = _table_rows(source, text)
    if rows is not None:
        return _from_rows(list(rows), source, select, home)
    lines = _lines(text)
    _check_header(lines, source)
    _refuse_select(select, source)
    numbered = [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
    return _from_lines(numbered, source, home)


def _text_of(source: Path) -> str:
    with source.open(encoding="utf-8-sig", errors=BYTES, newline="") as file:
        text = file.read()
    if "\0" in text:
        raise ValueError(f"{source} is no text: give a list of videos, or the folder in which this file lies")
    return text


def _lines(text: str) -> list[str]:
    r"""Split a text behind each line end: ``\n``, ``\r\n`` or ``\r``.

    `str.splitlines` has more of them, such as U+2028, which the names of files may contain.
    """
    return list(io.StringIO(text, newline=""))


def _check_header(lines: Sequence[str], source: Path) -> None:
    """Raise ValueError if the first line of a list names columns, although none that is found as `path`."""
    _, header = _header(lines)
    cells = [part.strip() for cell in header for part in cell.split(";")]
    if "path" in cells:
        raise ValueError(f"{source} has columns between semicolons: separate them by commas or tabs")
    is_table = len(cells) > 1 or source.suffix.lower() in (".csv", ".tsv")
    if is_table and _HEADER_WORDS & {cell.lower() for cell in cells}:
        raise ValueError(f"{source} has the columns {', '.join(cells)}: one of them must be called 'path'")


def _table_rows(source: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]] | None:
    """Return the numbered rows of a JSONL file, or of a CSV file with the column `path`; else None."""
    lines = _lines(text)
    if source.suffix.lower() == ".jsonl":
        return _json_rows(source, lines)
    delimiter, header = _header(lines)
    return _csv_rows(text, delimiter) if "path" in header else None


def _header(lines: Sequence[str]) -> tuple[str, list[str]]:
    """Return the delimiter of a CSV file, and the cells of its first line that is not empty."""
    first = next((line for line in lines if line.strip()), "")
    delimiter = "\t" if "\t" in first else ","
    return delimiter, [cell.strip() for cell in next(csv.reader([first], delimiter=delimiter), [])]


def _csv_rows(text: str, delimiter: str) -> Iterator[tuple[int, dict[str, Any]]]:
    lines = _lines(text)
    empty = next((number for number, line in enumerate(lines) if line.strip()), 0)  # before the header
    reader = csv.DictReader(lines[empty:], delimiter=delimiter)
    reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
    for row in reader:
        # csv.DictReader puts surplus cells under the key None, and gives missing cells the value None.
        yield empty + reader.line_num, {name: value for name, value in row.items() if name is not None}


def _json_rows(source: Path, lines: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(
                f"{source} line {number} is not JSON: {error}; give one object a line"
            ) from error
        if not isinstance(row, dict):
            raise ValueError(f"{source} line {number} is {line.strip()[:60]}: give an object with 'path'")
        yield number, row


def _from_rows(
    rows: list[tuple[int, dict[str, Any]]], source: Path, select: Mapping[str, str], home: Path | str
) -> list[Video]:
    columns = list(dict.fromkeys(name for _, row in rows for name in row))
    for column in select if rows else ():
        if column not in columns:
            near = difflib.get_close_matches(column, columns, 1, 0)
            raise ValueError(
                f"select asks for the column '{column}', which {source} does not have; nearest is '{near[0]}'"
            )
    chosen = [(number, row) for number, row in rows if _is_selected(row, select)]
    if rows and not chosen:
        values = {c: sorted({_text(row.get(c)) or "" for _, row in rows})[:10] for c in select}
        raise ValueError(f"no row of {source} has {dict(select)}; the values there are {values}")
    return [_from_row(row, source, number, home) for number, row in chosen]


def _is_selected(row: Mapping[str, Any], select: Mapping[str, str]) -> bool:
    return all((_text(row.get(column)) or "") == str(value) for column, value in select.items())


def _from_row(row: Mapping[str, Any], source: Path, number: int, home: Path | str) -> Video:
    where = f"{source} line {number}"
    path = _text(row.get("path"))
    if path is None:
        raise ValueError(f"{where} has no path: name a video in the column 'path'")
    start, end = _seconds(row, "start", where), _seconds(row, "end", where)
    check_range(start, end, where)
    if end is not None and end <= (start or 0.0):
        raise ValueError(f"{where} ends at {end} s and starts at {start or 0.0} s: the end must come later")
    group = _text(row.get("group")) or _text(row.get("subject"))
    return Video(_absolute(path, home), _text(row.get("label")), start, end, group)


def _from_lines(lines: list[tuple[int, str]], source: Path, home: Path | str) -> list[Video]:
    """Parse numbered lines ``path label``, ``path frames label`` or ``path start frames``.

    VideoMAE v2 fine-tunes on folders of frames listed as ``path frames label`` and pre-trains on
    ``path start frames``, where ``0 -1`` is a whole video (commit 29eab1e: docs/DATASET.md;
    dataset/datasets.py, `RawFrameClsDataset`; dataset/pretrain_datasets.py, `VideoMAE`). A single line does
    not reveal which of the two formats it has. A list is read as ``path start frames`` if any of its lines
    starts at 0 or has a negative number of frames, if all lines (of two or more) start at 1, or if one path
    occurs with several starts. Frames are counted when a video is read, so the number of frames in the list
    is ignored.
    """
    parsed = [(number, *_split_line(line, source, number)) for number, line in lines]
    triples = [(path, int(fields[0]), int(fields[1])) for _, path, fields in parsed if len(fields) == 2]
    first_of = {path: first for path, first, _ in triples}
    of_starts = any(first < 1 or last < 0 or first_of[path] != first for path, first, last in triples) or (
        len(triples) > 1 and {first for _, first, _ in triples} == {1}
    )
    videos = []
    for number, path, fields in parsed:
        if len(fields) == 2 and of_starts:
            _check_whole(int(fields[0]), int(fields[1]), f"{source} line {number}")
            fields = []
        videos.append(Video(_absolute(path, home), fields[-1] if fields else None))
    return videos


def _check_whole(start: int, frames: int, where: str) -> None:
    """Raise ValueError if a line ``path start frames`` names only a part of a folder."""
    if frames >= 0 and start not in (0, 1):
        raise ValueError(
            f"{where} takes {frames} frames from number {start} on: a list takes videos whole; write a CSV "
            "with start and end in seconds, or put the part into a folder of its own"
        )


def _split_line(line: str, source: Path, number: int) -> tuple[str, list[str]]:
    """Split a line into its path, which may have spaces, and its fields: none, a label, or two integers."""
    if _has_suffix(line):
        return line, []
    if "::" in line:
        path, _, name = line.rpartition("::")
        return path.strip(), [name.strip()] if name.strip() else []
    mark = next((mark for mark in ("\t", ",") if mark in line), None)  # None splits at white space
    if mark == "," and any("," in name and _has_suffix(name) for name in _heads(line)):
        mark = None  # the comma is in the name of the video
    path, *fields = (part.strip() for part in line.rsplit(mark, 2))
    shorter, *label = (part.strip() for part in line.rsplit(mark, 1))
    if len(fields) == 2 and all(_WHOLE.fullmatch(field) for field in fields):
        # The name of a folder of frames may end in a number (`take 3`): then only the last number is the
        # label.
        if _has_suffix(path) or not _is_there(shorter, source):
            return path, fields
    elif len(fields) == 2 and mark is None:
        _check_one_word(line, source, number)
    return shorter, [name for name in label if name]


def _heads(line: str) -> list[str]:
    """Return what stands before the last word of a line, and before its last two."""
    return [line.rsplit(None, count)[0] for count in (1, 2)]


def _check_one_word(line: str, source: Path, number: int) -> None:
    """Raise ValueError if several words follow a video: they are neither part of its name nor one label."""
    ended = _ENDED.fullmatch(line)
    if ended and len(ended[2].split()) > 1 and not _is_there(line.rsplit(maxsplit=1)[0], source):
        raise ValueError(
            f"{source} line {number} has '{ended[2]}' after the video {ended[1]}: give a label (with blanks: "
            "after a tab), the number of frames and a label, or a start and the number of frames"
        )


def _has_suffix(path: str) -> bool:
    return os.path.splitext(path)[1].lower() in _SUFFIXES


def _is_there(path: str, source: Path) -> bool:
    return os.path.exists(_absolute(path.strip(), source.parent))


def _read_folder(folder: Path, images: bool) -> list[Video]:
    if not images and _is_frames(folder):
        return [Video(str(folder))]
    direct = _videos_in(folder, images)
    classes = [child for child in _folders_in(folder) if str(child) not in direct]
    if direct and classes:
        what = f"images or videos ({Path(direct[0]).name})" if images else f"videos ({Path(direct[0]).name})"
        raise ValueError(
            f"{folder} has {what} and folders that are no videos ({classes[0].name}): "
            "make it one folder per class, or videos alone"
        )
    videos = []
    for child in classes:
        paths = _videos_in(child, images)
        if not paths:
            raise ValueError(f"the class folder {child} has no videos: remove it, or put some there")
        videos += [Video(path, child.name) for path in paths]
    return videos or [Video(path) for path in direct]


def _is_frames(folder: Path) -> bool:
    """Return whether a folder is one video, made of its images.

    A few images beside videos, or beside folders of videos or frames, only illustrate them; and a video or a
    folder beside many images, such as a preview, does not make these less of a video.
    """
    images, others = 0, 0
    folders = []
    for name, path, is_folder in _entries(folder):
        suffix = os.path.splitext(name)[1].lower()
        images += suffix in IMAGE_SUFFIXES and not is_folder
        others += suffix in VIDEO_SUFFIXES and not is_folder
        if is_folder:
            folders.append(path)
    if not images:
        return False
    return images >= _FRAMES * (others + sum(_holds_videos(path) for path in folders))


def _holds_videos(folder: str, depth: int = 2) -> bool:
    """Return whether a folder, or a folder in it, has a video or an image."""
    return any(
        (depth > 0 and _holds_videos(path, depth - 1)) if is_folder else _has_suffix(name)
        for name, path, is_folder in _entries(folder)
    )


def _entries(folder: str | Path) -> Iterator[tuple[str, str, bool]]:
    """Yield name, path, and whether it is a folder, of each entry that is not hidden."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith(_HIDDEN):
                yield entry.name, entry.path, entry.is_dir()


def _videos_in(folder: Path, images: bool = False) -> list[str]:
    """List video files and folders of frames; with `images`, video and image files instead."""
    suffixes = VIDEO_SUFFIXES | IMAGE_SUFFIXES if images else VIDEO_SUFFIXES
    return [
        child.path
        for child in _children(folder)
        if (child.is_dir() and not images and _is_frames(Path(child)))
        or (child.is_file() and os.path.splitext(child.name)[1].lower() in suffixes)
    ]


def _folders_in(folder: Path) -> list[Path]:
    return [Path(child) for child in _children(folder) if child.is_dir()]


def _children(folder: Path) -> list[os.DirEntry[str]]:
    """List a folder in natural order, without hidden entries."""
    with os.scandir(folder) as entries:
        children = [child for child in entries if not child.name.startswith(_HIDDEN)]
    return sorted(children, key=lambda child: natural_key(child.name))


def _refuse_select(select: Mapping[str, str] | None, source: Path) -> None:
    if select:
        raise ValueError(
            f"rows with {dict(select)} are asked for, and {source} has no columns: "
            "give a CSV or JSONL manifest"
        )


def _absolute(path: str, folder: Path | str) -> str:
    if is_url(path) or is_item(path):
        return path
    if isinstance(folder, str):
        return joined(folder, path)
    return os.path.abspath(folder / os.path.expanduser(path))


def _text(value: object) -> str | None:
    """Return a cell as stripped text, or None if it is empty."""
    return None if value is None else str(value).strip() or None


def _seconds(row: Mapping[str, Any], column: str, where: str) -> float | None:
    text = _text(row.get(column))
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{where} has {column} = '{text}': give a number of seconds") from None
