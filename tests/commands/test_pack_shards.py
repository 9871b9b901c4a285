"""Packed videos: their list takes the place of the former one, wherever the folder goes."""

import shutil

import torch

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
