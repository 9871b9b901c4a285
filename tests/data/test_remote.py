"""Videos by URL and in tar files: the same frames as from files, over a server that fails, within a limit."""

import json
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("aiohttp")

from tests.accelerate_state import fresh_accelerate
from tests.data.faulty_server import serving
from tests.tiny_run import metrics
from vjepa.commands.pack_shards import main as pack
from vjepa.commands.pretrain import main as pretrain_tool
from vjepa.data import remote
from vjepa.data.cache import VideoCache
from vjepa.data.manifest import read_manifest, write_manifest
from vjepa.data.readers.base import VideoDecodeError
from vjepa.data.readers.open import open_video
from vjepa.data.remote import RemoteError, local_file, part_of_tar
from vjepa.recipes.pretrain.run import pretrain


@pytest.fixture(autouse=True)
def downloads(tmp_path, monkeypatch):
    monkeypatch.setenv("VJEPA_DOWNLOADS", str(tmp_path / "downloads"))
    monkeypatch.setattr(remote, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(remote, "_unseen", None)
    return tmp_path / "downloads"


@pytest.fixture
def shards(manifest, tmp_path):
    """The videos of the tiny runs, in three shards."""
    assert pack(["--videos", str(manifest), "--output", str(tmp_path / "shards"), "--shard_mb", "0.003"]) == 0
    return tmp_path / "shards"


def frames(path):
    with open_video(path) as video:
        return video.get_frames(range(len(video)))


def test_shards_are_plain_tar_files_whose_list_names_their_parts(manifest, shards):
    files = sorted(shards.glob("shard-*.tar"))
    assert len(files) > 1
    originals = read_manifest(str(manifest))
    packed = read_manifest(str(shards / "videos.csv"))
    assert [video.label for video in packed] == [video.label for video in originals]
    contents = [
        tar.extractfile(member).read() for tar in map(tarfile.open, files) for member in tar.getmembers()
    ]
    for video, original, content in zip(packed, originals, contents, strict=True):
        assert Path(original.path).read_bytes() == content
        assert torch.equal(frames(video.path), frames(original.path))


def test_frames_are_those_of_the_file_and_only_the_part_is_transferred(manifest, shards, downloads):
    original = read_manifest(str(manifest))
    with serving(shards) as (url, faults):
        packed = read_manifest(f"{url}/videos.csv")
        assert packed[3].path.startswith(f"{url}/shard-")
        size = Path(original[3].path).stat().st_size
        before = faults.sent
        for _ in range(3):
            assert torch.equal(frames(packed[3].path), frames(original[3].path))
        assert faults.sent - before == size, "transferred more than the part, or more than once"
    assert torch.equal(frames(packed[3].path), frames(original[3].path)), "the copy serves without the server"
    assert len(list(downloads.glob("*.mp4"))) == 1


def test_a_list_by_url_is_read_anew_and_its_paths_are_relative_to_it(manifest, tmp_path):
    videos = read_manifest(str(manifest))
    write_manifest(manifest.parent / "some.csv", videos[:2])
    (manifest.parent / "lists").mkdir()
    (manifest.parent / "lists" / "up.jsonl").write_text(
        json.dumps({"path": "../videos/000000.mp4", "label": "a"})
    )
    with serving(manifest.parent) as (url, _):
        assert len(read_manifest(f"{url}/some.csv")) == 2
        write_manifest(manifest.parent / "some.csv", videos[:3])
        assert len(read_manifest(f"{url}/some.csv")) == 3
        (video,) = read_manifest(f"{url}/lists/up.jsonl?label=a")
        assert video.path == f"{url}/videos/000000.mp4"
        with pytest.raises(FileNotFoundError, match=f"there is no manifest {url}/none.csv"):
            read_manifest(f"{url}/none.csv")
        with pytest.raises(ValueError, match=rf"{url}/lists/up.jsonl"):
            read_manifest(f"{url}/lists/up.jsonl?label=b")
        for name in ("some.csv", "none.csv"):
            with pytest.raises((ValueError, FileNotFoundError), match=r"behind the \? of a list's address"):
                read_manifest(f"{url}/{name}?token=abc")


def test_files_with_any_name_are_read_by_a_relative_path(tmp_path, downloads):
    """An address has a part behind "#", and a letter outside ASCII has several bytes of a file's name."""
    names = ["clip #1.npy", "a b.npy", f"{'映' * 80}.npy"]
    for number, name in enumerate(names):
        np.save(tmp_path / name, np.full((2, 8, 8, 3), number, np.uint8))
    content = (tmp_path / "a b.npy").read_bytes()
    (tmp_path / "#.tar").write_bytes(content)
    rows = [*names, part_of_tar("#.tar", 0, len(content), names[2])]
    (tmp_path / "list.csv").write_text("path\n" + "\n".join(rows), encoding="utf-8")
    with serving(tmp_path) as (url, _):
        packed = read_manifest(f"{url}/list.csv")
        assert [int(frames(video.path).max()) for video in packed] == [0, 1, 2, 1]


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (["--shard_mb", "0"], "give a size above 0"),
        (["--output", "{shards}"], "exists: give another folder"),
        (["--videos", "{frames}"], "is no file: only video files"),
    ],
)
def test_what_cannot_be_packed_is_refused(arguments, remedy, manifest, shards, tmp_path, capsys):
    frames = tmp_path / "frames"
    (frames / "one").mkdir(parents=True)
    (frames / "one" / "0.png").write_bytes(b"")
    given = [argument.format(shards=shards, frames=frames) for argument in arguments]
    assert pack(["--videos", str(manifest), "--output", str(tmp_path / "new"), *given]) == 2
    assert remedy in capsys.readouterr().err


def test_urls_in_a_local_list_are_not_taken_for_paths(tmp_path):
    (tmp_path / "list.csv").write_text(
        "path,label\ns3://bucket/a b/1.mp4,x\nhf://datasets/o/n/2.mp4,y\n3.mp4,z\n"
    )
    paths = [video.path for video in read_manifest(tmp_path / "list.csv")]
    assert paths == ["s3://bucket/a b/1.mp4", "hf://datasets/o/n/2.mp4", str(tmp_path / "3.mp4")]
    write_manifest(tmp_path / "again.csv", read_manifest(tmp_path / "list.csv"))
    assert [video.path for video in read_manifest(tmp_path / "again.csv")] == paths


def test_a_folder_that_is_named_like_a_part_is_a_folder(manifest, tmp_path):
    odd = tmp_path / "take#1+20"
    odd.mkdir()
    original = read_manifest(str(manifest))[0].path
    (odd / "a.mp4").write_bytes(Path(original).read_bytes())
    assert torch.equal(frames(str(odd / "a.mp4")), frames(original))


@pytest.mark.parametrize("cached", [False, True])
def test_a_tar_file_that_is_written_again_gives_its_new_videos(cached, tmp_path):
    """The same places in the file, other frames."""
    tar = tmp_path / "a.tar"
    found = []
    cache = VideoCache(tmp_path / "cache", 8)
    for value in (10, 200):
        array = tmp_path / "a.npy"
        np.save(array, np.full((4, 8, 8, 3), value, np.uint8))
        content = array.read_bytes()
        tar.write_bytes(bytes(512) + content)
        path = part_of_tar(str(tar), 512, len(content), "a.npy")
        cache = VideoCache(tmp_path / "cache", 8)
        with cache.open(path) if cached else open_video(path) as video:
            found.append(int(video.get_frames([0]).max()))
    assert found == [10, 200]


@pytest.mark.parametrize("given", ["many", "0", "-3"])
def test_a_limit_that_is_no_size_is_named(given, shards, monkeypatch):
    monkeypatch.setenv("VJEPA_DOWNLOADS_GB", given)
    with pytest.raises(RemoteError, match=rf"VJEPA_DOWNLOADS_GB is {given}: give a number"):
        open_video(read_manifest(str(shards / "videos.csv"))[0].path)


def test_a_folder_of_copies_that_cannot_be_written_is_not_the_video_s_fault(shards, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("VJEPA_DOWNLOADS", str(tmp_path / "file"))
    with pytest.raises(RemoteError, match=r"cannot be written to .*file .* set VJEPA_DOWNLOADS"):
        open_video(read_manifest(str(shards / "videos.csv"))[0].path)


@pytest.mark.parametrize("plan", [[503, 503], ["cut"], [429, "cut", 500], ["slow"]])
def test_a_transfer_that_fails_is_repeated(plan, manifest, shards, monkeypatch):
    monkeypatch.setattr(remote, "TIMEOUT", 0.5)
    original = read_manifest(str(manifest))[0].path
    with serving(shards) as (url, faults):
        part = read_manifest(f"{url}/videos.csv")[0].path
        faults.plan = list(plan)
        assert Path(local_file(part)).read_bytes() == Path(original).read_bytes()
        assert not faults.plan


def test_a_transfer_that_cannot_succeed_says_so(shards, monkeypatch):
    monkeypatch.setattr(remote, "TRIES", 3)
    with serving(shards) as (url, faults):
        part = read_manifest(f"{url}/videos.csv")[0].path
        faults.plan = 3 * [503]
        with pytest.raises(RemoteError, match=rf"{url}/shard-00000.tar could not be read in 3 tries .*503"):
            open_video(part)
        faults.plan = [403]
        with pytest.raises(RemoteError, match=r"is refused .*check the address and your credentials"):
            open_video(part)
        assert not faults.plan
        faults.plan = ["whole"]
        with pytest.raises(RemoteError, match="does not read parts of files"):
            open_video(part)
        with pytest.raises(VideoDecodeError, match=rf"{url}/none.mp4 cannot be read by auto: there is"):
            open_video(f"{url}/none.mp4")
        (shards / "text.mp4").write_text("no video")
        with pytest.raises(VideoDecodeError, match=rf"{url}/text.mp4 cannot be read"):
            open_video(f"{url}/text.mp4")
    with pytest.raises(RemoteError, match=r"nothing://a\.mp4 cannot be read .*install the package"):
        open_video("nothing://a.mp4")
    with pytest.raises(RemoteError, match=r"ends before the 99999999 bytes of a\.mp4"):
        open_video(part_of_tar(str(shards / "shard-00000.tar"), 512, 99999999, "a.mp4"))
    with pytest.raises(VideoDecodeError, match="there is no such object"):
        open_video(part_of_tar(str(shards / "none.tar"), 512, 10, "a.mp4"))


def test_copies_have_a_limit_and_those_not_read_for_long_go_first(tmp_path, downloads, monkeypatch):
    monkeypatch.setenv("VJEPA_DOWNLOADS_GB", "3e-6")  # 3,000 bytes
    monkeypatch.setattr(remote, "_IN_USE", 0.1)
    tar = tmp_path / "a.tar"
    tar.write_bytes(np.arange(10_000, dtype=np.uint16).tobytes())
    parts = [part_of_tar(str(tar), 800 * number, 800, f"{number}.mp4") for number in range(6)]
    copies = []
    for number, part in enumerate(parts):
        copies.append(Path(local_file(part)))
        time.sleep(0.06)
        local_file(parts[0])
        assert sum(file.stat().st_size for file in downloads.iterdir()) <= 3000
        if number == 3:
            time.sleep(0.2)
    assert copies[0].exists()
    assert copies[5].exists()
    assert not copies[1].exists()


def test_a_run_on_shards_of_a_server_is_the_run_on_files(tiny_config, manifest, shards, tmp_path):
    """Bit for bit, with worker processes and an interruption, over a server that fails now and then."""
    pretrain(tiny_config("files", "--optim.steps=6"))
    with serving(shards) as (url, faults):
        faults.plan = [503, None, None, None, "cut", None, 503]
        remote_data = ("--data.train=" + f"{url}/videos.csv", "--data.num_workers=2")
        for steps, stretch in ((3, 2), (6, 1)):
            fresh_accelerate()
            pretrain(
                tiny_config(
                    "shards", *remote_data, f"--optim.steps={steps}", f"--optim.schedule_stretch={stretch}"
                )
            )
    assert metrics(tmp_path / "shards") == metrics(tmp_path / "files")


def test_a_server_that_is_gone_ends_a_run_with_one_sentence(
    tiny_arguments, shards, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(remote, "TRIES", 2)
    with serving(shards) as (url, _):
        local = (shards / "videos.csv").read_text().replace("\nshard", f"\n{url}/shard")
        (tmp_path / "remote.csv").write_text(local)
    changes = (
        f"--data.train={tmp_path / 'remote.csv'}",
        "--data.cache.folder=null",
        "--data.cache.short_side=null",
    )
    assert pretrain_tool(tiny_arguments("run", *changes)) == 1
    said = capsys.readouterr().err
    assert "could not be read in 2 tries" in said
    assert "Traceback" not in said
