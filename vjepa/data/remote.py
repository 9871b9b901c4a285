"""Videos that are no local files: in object stores, on web servers, and inside tar files.

    s3://bucket/clips/a.mp4                    any URL that fsspec can read (gs://, hf://, https://, ...)
    https://host/train-3.tar#1536+81747/a.mp4  a part of a tar file: its first byte, its length, its name
    shards/train-3.tar#1536+81747/a.mp4        the same of a local tar file

Such a video is copied to a local folder when it is read, and read from there as any other file. Of a tar file
only the part is transferred. The copies serve later reads: what a URL names is taken not to change, and a
local tar file is known by its size and time.

The folder of copies is that of the environment variable VJEPA_DOWNLOADS (default: vjepa/downloads in the
user's folder of caches). When it has more than VJEPA_DOWNLOADS_GB gigabytes (default 20), copies are removed,
those first that were not read for the longest time, but none that was read within two minutes.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from vjepa.files import written_atomically

TRIES = 8
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0  # Seconds; each wait is twice as long as the one before.
TIMEOUT = 120.0  # Seconds that one try may take.
_REFUSED = (400, 401, 403, 405, 416)  # HTTP statuses that another try does not change.
_FREE, _LISTINGS = 0.1, 200  # Share of the folder's limit that a listing leaves free; listings for one limit.
_IN_USE = 120.0  # Seconds for which a copy is kept after it was read, even if the folder is full.
_LONGEST_SUFFIX = 16  # Characters; what is longer is none.
_PART = re.compile(r"(?P<tar>.+)#(?P<begin>\d+)\+(?P<length>\d+)/(?P<name>[^#]+)")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_unseen: int | None = None  # Bytes that this process wrote since it listed the folder; None: it never did.


class RemoteError(OSError):
    """A remote object cannot be transferred, although it may exist, or its copy cannot be written."""


class Source(NamedTuple):
    """Where the bytes of a video are.

    Attributes:
        place: URL or local path of the object.
        begin: First byte.
        length: Number of bytes; None takes all to the end of the object.
        name: File name of the video.
    """

    place: str
    begin: int
    length: int | None
    name: str


def is_url(path: str | os.PathLike[str]) -> bool:
    """Return whether a path is a URL, such as ``s3://bucket/a.mp4``."""
    return isinstance(path, str) and _URL.match(path) is not None


def source_of(path: str) -> Source | None:
    """Return where the bytes of a video are; None for a local file or folder of its own."""
    part = _PART.fullmatch(path)
    if part and (is_url(path) or not os.path.exists(path)):  # a folder may have such a name, too
        begin, length = int(part["begin"]), int(part["length"])
        return Source(part["tar"], begin, length, posixpath.basename(part["name"]))
    if is_url(path):
        return Source(path, 0, None, posixpath.basename(path.partition("?")[0]))
    return None


def state_of(path: str) -> tuple[int, int] | None:
    """Return size and time of change of the local file that holds the bytes of a video; None for a URL.

    Raises:
        OSError: There is no such file.
    """
    source = source_of(path)
    if source is not None and is_url(source.place):
        return None
    status = os.stat(path if source is None else source.place)
    return status.st_size, status.st_mtime_ns


def part_of_tar(tar: str, begin: int, length: int, name: str) -> str:
    """Return the path of a video inside a tar file, see `vjepa.data.remote`."""
    return f"{tar}#{begin}+{length}/{name}"


def joined(folder: str, path: str) -> str:
    """Return a path relative to the URL of a folder as a URL of its own."""
    scheme, _, rest = folder.partition("://")
    if scheme in ("http", "https"):
        # The name of a file may have a "#", after which a web address has no path any more. That of a part of
        # a tar file stays.
        part = _PART.fullmatch(path)
        file = part["tar"] if part else path
        path = file.replace("#", "%23") + path[len(file) :]
    return f"{scheme}://{posixpath.normpath(posixpath.join(rest, path))}"


def local_file(path: str) -> str:
    """Return the local file of a video: `path` itself, or a copy of it, which is made if there is none.

    The copy stays for at least two minutes after this call.

    Raises:
        FileNotFoundError: There is no such object.
        RemoteError: The object cannot be transferred, for the reason that it names.
    """
    source = source_of(path)
    if source is None:
        return path
    facts = repr((path, state_of(path)))
    copy = downloads_folder() / _name_of_copy(facts.encode(), source.name)
    try:
        os.utime(copy)
    except (FileNotFoundError, NotADirectoryError):
        content = _fetched(source)
        with _folder_at_fault(copy.parent):
            _keep(content, copy)
    return str(copy)


def local_list(url: str) -> str:
    """Transfer a list of videos, which may change under its name, and return its local copy.

    Raises:
        FileNotFoundError: There is no such object.
        RemoteError: The object cannot be transferred, for the reason that it names.
    """
    name = posixpath.basename(url)
    content = _fetched(Source(url, 0, None, name))
    copy = downloads_folder() / "lists" / _name_of_copy(content, name)
    with _folder_at_fault(copy.parent):
        if not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            with written_atomically(copy) as draft:
                draft.write_bytes(content)
    return str(copy)


def _name_of_copy(identity: bytes, name: str) -> str:
    """Return the name of a copy: a hash and the suffix, by which readers choose a format.

    The rest of a name may have more bytes than a file system allows.
    """
    suffix = posixpath.splitext(name)[1]
    return hashlib.sha256(identity).hexdigest()[:32] + (suffix if len(suffix) <= _LONGEST_SUFFIX else "")


@contextmanager
def _folder_at_fault(folder: Path) -> Iterator[None]:
    """Turn errors of writing a copy into `RemoteError`, since they are not the video's."""
    try:
        yield
    except RemoteError:
        raise
    except OSError as error:
        raise RemoteError(
            f"copies of remote videos cannot be written to {folder} ({error.strerror or error}): make room, "
            "or set VJEPA_DOWNLOADS to another folder"
        ) from error


def downloads_folder() -> Path:
    """Return the folder of local copies."""
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get("VJEPA_DOWNLOADS") or Path(caches) / "vjepa" / "downloads").expanduser()


def _fetched(source: Source) -> bytes:
    """Read the bytes of a source; a transfer that fails is repeated after a while."""
    read = _remote_reader(source) if is_url(source.place) else _local_reader(source)
    began, wait = time.monotonic(), FIRST_WAIT
    for attempt in range(1, TRIES + 1):
        try:
            return _whole(read(), source)
        except (FileNotFoundError, RemoteError):
            raise
        except Exception as error:
            status = getattr(error, "status", None)
            if isinstance(error, PermissionError) or status in _REFUSED:
                raise RemoteError(
                    f"{source.place} is refused ({_in_words(error)}): check the address and your credentials"
                ) from error
            if attempt == TRIES:
                raise RemoteError(
                    f"{source.place} could not be read in {TRIES} tries and "
                    f"{time.monotonic() - began:.0f} seconds ({_in_words(error)}): check the connection, "
                    "then run the same command again"
                ) from error
        time.sleep(wait)
        wait = min(2 * wait, LONGEST_WAIT)
    raise AssertionError("the last try returns or raises")


def _whole(content: bytes, source: Source) -> bytes:
    """Return all bytes of a source; ConnectionError if some are missing."""
    if source.length is None or len(content) == source.length:
        return content
    if len(content) > source.length:
        raise RemoteError(
            f"{source.place} was asked for {source.length} bytes and gave {len(content)}: its server does "
            "not read parts of files, so list the videos one by one, not in a tar file"
        )
    raise ConnectionError(f"{len(content)} of {source.length} bytes arrived")


def _local_reader(source: Source) -> Callable[[], bytes]:
    def read() -> bytes:
        with open(source.place, "rb") as file:
            file.seek(source.begin)
            content = file.read(source.length)
        if source.length is not None and len(content) < source.length:
            raise RemoteError(
                f"{source.place} ends before the {source.length} bytes of {source.name} from byte "
                f"{source.begin} on: copy the file again"
            )
        return content

    return read


def _remote_reader(source: Source) -> Callable[[], bytes]:
    """Return a function that reads a source through fsspec."""
    import fsspec
    from fsspec.asyn import sync

    try:
        system, place = fsspec.core.url_to_fs(source.place)
    except (ImportError, ValueError) as error:
        raise RemoteError(
            f"{source.place} cannot be read ({_in_words(error)}): install the package that it names; "
            "pip install 'fsspec[http]' s3fs gcsfs is for https://, s3:// and gs://"
        ) from error
    part: dict[str, Any] = {}
    if source.length is not None:
        part = {"start": source.begin, "end": source.begin + source.length}
    if not system.async_impl:
        return lambda: bytes(system.cat_file(place, **part))
    return lambda: bytes(sync(system.loop, system._cat_file, place, timeout=TIMEOUT, **part))


def _in_words(error: Exception) -> str:
    words = str(error).strip()
    return f"{type(error).__name__}: {words.splitlines()[0]}" if words else type(error).__name__


def _keep(content: bytes, copy: Path) -> None:
    """Write a copy, after others were removed where the folder would become too large."""
    global _unseen
    copy.parent.mkdir(parents=True, exist_ok=True)
    limit = _limit()
    # Listing a folder of many copies takes long. Between two listings, each process writes at most a share of
    # the room that is left free at the first one.
    if _unseen is None or _unseen + len(content) > limit / _LISTINGS:
        _make_room(copy.parent, (1 - _FREE) * limit - len(content))
        _unseen = 0
    _unseen += len(content)
    with written_atomically(copy) as draft:
        draft.write_bytes(content)


def _limit() -> float:
    """Return the size in bytes above which copies are removed."""
    given = os.environ.get("VJEPA_DOWNLOADS_GB") or "20"
    try:
        gigabytes = float(given)
    except ValueError:
        gigabytes = 0.0
    if not gigabytes > 0:
        raise RemoteError(f"VJEPA_DOWNLOADS_GB is {given}: give a number of gigabytes above 0")
    return gigabytes * 1e9


def _make_room(folder: Path, most: float) -> None:
    """Remove the copies that were not read for the longest time until `most` bytes are left, if possible."""
    found = []
    for path in folder.iterdir():
        try:
            status = path.stat()
        except FileNotFoundError:  # another process removed it
            continue
        if path.is_file():
            found.append((status.st_mtime, status.st_size, path))
    surplus = sum(size for _, size, _ in found) - most
    for used, size, path in sorted(found):
        if surplus <= 0 or used > time.time() - _IN_USE:
            break
        path.unlink(missing_ok=True)
        surplus -= size
