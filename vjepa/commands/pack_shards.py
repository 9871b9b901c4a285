"""Pack videos into tar files ("shards"), for object stores and for disks that dislike many files.

    vjepa pack_shards --videos videos.csv --output shards
    vjepa pack_shards --videos 'videos.csv?split=train' --output shards --shard_mb 1000

Writes shard-00000.tar and so on, plain tar files that other programs can read, too, and videos.csv: the list
of the same videos, with all columns of the former list, in which each path names a part of a tar file. Copy
the folder wherever you like; the list is used in place of the former one, as a file or by its URL:

    accelerate launch -m vjepa pretrain --config pretrain/clips --data.train shards/videos.csv
    accelerate launch -m vjepa pretrain --config pretrain/clips --data.train s3://bucket/shards/videos.csv

Videos are neither decoded nor changed. An output folder that has a list already is refused.

Exit status: 0 done; 2 arguments or files that cannot be used; 130 interrupted.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from vjepa.data.manifest import Video, other_cells, read_manifest, write_manifest
from vjepa.data.remote import local_file, part_of_tar, source_of
from vjepa.files import written_atomically
from vjepa.training.stop import command


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status."""
    options = _parser().parse_args(arguments)
    videos, others = read_manifest(options.videos), other_cells(options.videos)
    _pack(videos, others, Path(options.output), options.shard_mb * 1e6)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--videos", required=True, help="Manifest or folder of the videos to pack.")
    parser.add_argument("--output", required=True, help="Folder of the shards and of their list.")
    parser.add_argument(
        "--shard_mb",
        type=float,
        default=500.0,
        help="Size in megabytes (1e6 bytes) that a shard reaches before the next one begins (default 500).",
    )
    return parser


def _pack(videos: Sequence[Video], others: Sequence[Mapping[str, str]], folder: Path, most: float) -> None:
    listed = folder / "videos.csv"
    if listed.exists():
        raise ValueError(f"{listed} exists: give another folder, or remove that one")
    if most <= 0:
        raise ValueError(f"--shard_mb is {most / 1e6:g}: give a size above 0")
    folder.mkdir(parents=True, exist_ok=True)
    paths = list(dict.fromkeys(video.path for video in videos))  # a video with several rows is packed once
    parts: dict[str, str] = {}
    count = 0
    with tqdm(total=len(paths), unit="video", disable=None) as progress:
        for count, shard in enumerate(_shards(paths, most), 1):
            parts |= _write(folder / f"shard-{count - 1:05d}.tar", shard, first=len(parts))
            progress.update(len(shard))
    packed = (dataclasses.replace(video, path=parts[video.path]) for video in videos)
    write_manifest(listed, packed, others)
    print(f"{len(parts)} videos in {count} shards: {listed}")


def _shards(paths: Iterable[str], most: float) -> Iterator[list[str]]:
    """Divide videos into groups, each of which ends when it has reached `most` bytes."""
    group: list[str] = []
    size = 0
    for path in paths:
        group.append(path)
        size += _file_of(path).stat().st_size
        if size >= most:
            yield group
            group, size = [], 0
    if group:
        yield group


def _file_of(path: str) -> Path:
    file = Path(local_file(path))
    if not file.is_file():
        raise ValueError(f"{path} is no file: only video files and .npy arrays can be packed")
    return file


def _write(shard: Path, paths: Sequence[str], first: int) -> dict[str, str]:
    """Write videos into a shard; return the path of each part by that of its video."""
    names = [f"{first + row:08d}-{_name_of(path)}" for row, path in enumerate(paths)]
    sizes: dict[str, int] = {}
    with written_atomically(shard) as draft:
        # Without `dereference` a link, symbolic or hard, would be packed as a name without content.
        with tarfile.open(draft, "w", format=tarfile.PAX_FORMAT, dereference=True) as tar:
            for name, path in zip(names, paths, strict=True):
                file = _file_of(path)
                tar.add(file, name, filter=_anonymous)
                sizes[name] = file.stat().st_size
        with tarfile.open(draft, "r:") as tar:
            found = {member.name: (member.offset_data, member.size) for member in tar}
        for name, path in zip(names, paths, strict=True):
            _check_size(path, sizes[name], packed=found[name][1])
    return {
        path: part_of_tar(os.path.abspath(shard), *found[name], name)
        for name, path in zip(names, paths, strict=True)
    }


def _name_of(path: str) -> str:
    """Return the name of a video without ``#``, which ends the path of a tar file in that of its part."""
    source = source_of(path)
    return (Path(path).name if source is None else source.name).replace("#", "_")


def _check_size(path: str, size: int, *, packed: int) -> None:
    if packed != size:
        raise ValueError(
            f"{path} has {size} bytes, and {packed} were packed: pack it when nothing writes to it any more"
        )


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Remove owner, rights and times, so that equal videos give equal shards."""
    return member.replace(mtime=0, mode=0o644, uid=0, gid=0, uname="", gname="", deep=False)
