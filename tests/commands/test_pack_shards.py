"""Packed videos: their list takes the place of the former one, wherever the folder goes."""

import shutil

import numpy as np
import pytest
import torch

from vjepa.commands import pack_shards
from vjepa.commands.pack_shards import main
from vjepa.data.manifest import read_manifest
from vjepa.data.readers.open import open_video


def frames(path):
    with open_video(path) as video:
        return video.get_frames(range(len(video)))


def test_the_list_keeps_all_columns_and_its_folder_can_be_copied_from_behind_a_link(
    write_video, tmp_path, monkeypatch
):
    monkeypatch.setenv("VJEPA_DOWNLOADS", str(tmp_path / "downloads"))
    write_video("a.mp4", frames=5)
    write_video("b.mp4", frames=7)
    source = tmp_path / "videos.csv"
    source.write_text("path,label,split1\na.mp4,x,train\nb.mp4,y,test\n")
    (tmp_path / "far").mkdir()
    (tmp_path / "link").symlink_to("far")
    assert main(["--videos", str(source), "--output", str(tmp_path / "link" / "s3")]) == 0
    assert str(tmp_path) not in (tmp_path / "link" / "s3" / "videos.csv").read_text()
    shutil.copytree(tmp_path / "link" / "s3", tmp_path / "copy")
    shutil.rmtree(tmp_path / "far")
    for split, original in zip(("train", "test"), read_manifest(source), strict=True):
        (video,) = read_manifest(f"{tmp_path / 'copy' / 'videos.csv'}?split1={split}")
        assert video.label == original.label
        assert torch.equal(frames(video.path), frames(original.path))


def link_to(file, name, hard):
    link = file.with_name(name)
    if hard:
        link.hardlink_to(file)
    else:
        link.symlink_to(file.name)


@pytest.mark.parametrize("hard", [True, False], ids=["hard", "symbolic"])
def test_links_and_names_with_a_mark_of_parts_are_packed_whole(hard, tmp_path, monkeypatch):
    monkeypatch.setenv("VJEPA_DOWNLOADS", str(tmp_path / "downloads"))
    (tmp_path / "videos").mkdir()
    file = tmp_path / "videos" / "take #1.npy"
    np.save(file, np.full((2, 8, 8, 3), 77, np.uint8))
    for number in range(2):
        link_to(file, f"{number}.npy", hard)
    assert main(["--videos", str(tmp_path / "videos"), "--output", str(tmp_path / "out")]) == 0
    packed = read_manifest(tmp_path / "out" / "videos.csv")
    assert [int(frames(video.path).min()) for video in packed] == [77, 77, 77]


def test_a_file_that_grows_meanwhile_is_refused(tmp_path, monkeypatch, capsys):
    file = tmp_path / "a.npy"
    np.save(file, np.zeros((2, 8, 8, 3), np.uint8))
    anonymous = pack_shards._anonymous

    def growing(member):
        with file.open("ab") as more:
            more.write(b"more")
        return anonymous(member)

    monkeypatch.setattr(pack_shards, "_anonymous", growing)
    assert main(["--videos", str(file), "--output", str(tmp_path / "out")]) == 2
    assert "pack it when nothing writes to it" in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())
