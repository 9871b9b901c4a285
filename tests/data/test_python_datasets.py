"""Datasets of Python are lists of videos like any other: for training, tests and single files."""

import gc
import math
import pickle
import weakref
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import vjepa
from vjepa.data import python_datasets
from vjepa.data.manifest import read_manifest
from vjepa.data.python_datasets import dataset_of, name_dataset
from vjepa.data.readers.base import VideoDecodeError
from vjepa.data.readers.open import open_video
from vjepa.data.splits import check_leaks


class Clips(torch.utils.data.Dataset):
    """Clips that are told apart by their brightness, which rises from frame to frame."""

    def __init__(self, count=8, labels=None):
        self.count = count
        if labels is not None:
            self.labels = labels

    def __len__(self):
        return self.count

    def __getitem__(self, number):
        if number >= self.count:
            raise IndexError(number)
        return torch.full((10, 3, 32, 32), 10 * number, dtype=torch.uint8) + torch.arange(
            10, dtype=torch.uint8
        ).view(-1, 1, 1, 1)


class Items(list):
    """A list is a list of sources; a class of its own is a dataset."""


def frames_of(item, **options):
    dataset = Items([item])  # a name keeps no dataset alive
    with open_video(f"{name_dataset(dataset, 'data.train')}#0", **options) as video:
        return video.get_frames(range(len(video))), video.timestamps


CLIP = Clips()[3]


@pytest.mark.parametrize(
    "item",
    [
        CLIP,
        CLIP.numpy(),
        CLIP / 255,
        [Image.fromarray(frame.permute(1, 2, 0).numpy()) for frame in CLIP],
        (CLIP, torch.zeros(1), 4),
        {"video": CLIP, "label": 4},
        {"pixel_values": CLIP},
        {"video": {"path": "gone.mp4", "frames": CLIP}},
    ],
    ids=["tensor", "array", "floats", "images", "torchvision", "video", "pixel values", "nested"],
)
def test_items_of_many_forms_are_the_same_video(item):
    if isinstance(item, dict) and isinstance(item["video" if "video" in item else "pixel_values"], dict):
        item["video"].pop("path")
    frames, timestamps = frames_of(item, fps=5.0)
    torch.testing.assert_close(frames, CLIP)
    np.testing.assert_allclose(timestamps, np.arange(10) / 5)


def test_items_may_be_files_their_bytes_or_have_a_rate_of_their_own(tmp_path, write_video):
    path = write_video("a.mp4", frames=6)
    with open_video(path) as video:
        expected, times = video.get_frames(range(6)), video.timestamps
    for item in (path, {"path": path}, {"path": None, "bytes": Path(path).read_bytes()}):
        frames, timestamps = frames_of(item)
        torch.testing.assert_close(frames, expected)
        np.testing.assert_allclose(timestamps, times)
    np.testing.assert_allclose(frames_of({"video": CLIP, "fps": 2})[1], np.arange(10) / 2)


class FakeDecoder:
    """What is used of torchcodec 0.17's VideoDecoder, which needs FFmpeg's libraries."""

    seconds = torch.tensor([2.0, 2.25, 2.5, 2.75, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], dtype=torch.float64)

    def __len__(self):
        return len(CLIP)

    def get_frames_in_range(self, start, stop):
        return SimpleNamespace(data=CLIP[start:stop], pts_seconds=self.seconds[start:stop])


def test_a_decoder_has_its_own_times_from_its_first_frame_on():
    frames, timestamps = frames_of({"video": FakeDecoder()}, fps=25.0)
    torch.testing.assert_close(frames, CLIP)
    np.testing.assert_array_equal(timestamps, [0, 0.25, 0.5, 0.75, 1, 2, 3, 4, 5, 6])


@pytest.mark.parametrize(
    ("item", "cause"),
    [
        ({"clip": CLIP}, "dictionary of clip: name its video one of video, pixel_values, frames, path"),
        (CLIP.permute(0, 2, 3, 1), r"shape \(10, 32, 32, 3\): give .* \(T, C, H, W\)"),
        (torch.stack([CLIP, CLIP]), "the item holds 2 clips: give one"),
        (5, "pixels are of type int"),
        ((), "an empty tuple: give one that begins with a video"),
        ([], "the list holds nothing: give frames"),
        ({"video": None}, "pixels are of type NoneType"),
        ({"video": CLIP, "fps": 0}, "the item's fps is 0.0: give a number of frames a second above 0"),
        ({"video": CLIP, "fps": "fast"}, "could not convert string to float: 'fast'"),
        ({"bytes": 5}, "TypeError: "),
    ],
    ids=[
        "keys",
        "layout",
        "batch",
        "number",
        "empty tuple",
        "empty list",
        "nothing",
        "rate 0",
        "rate",
        "bytes",
    ],
)
def test_what_is_no_video_says_why(item, cause):
    with pytest.raises(VideoDecodeError, match=cause) as error:
        frames_of(item)
    assert error.value.path == f"python:{__name__}:Items:data.train#0"


@pytest.mark.parametrize(
    "error", [KeyError("frames"), IndexError(3), RuntimeError("no codec"), ValueError("x")]
)
def test_an_error_of_the_dataset_names_the_item(error):
    class Faulty(Clips):
        def __getitem__(self, number):
            raise error

    dataset = Faulty()
    with pytest.raises(VideoDecodeError, match=r"Faulty:data\.train#2 cannot be read by python: ") as raised:
        open_video(f"{name_dataset(dataset, 'data.train')}#2")
    assert raised.value.__cause__ is error


def test_labels_groups_and_parts():
    dataset = Clips(4, labels=torch.tensor([0, 1, 0, 1]))
    dataset.groups = ["a", "a", "b", "b"]
    videos = read_manifest(name_dataset(dataset, "data.train"))
    assert [(video.label, video.group) for video in videos] == [
        ("0", "a"), ("1", "a"), ("0", "b"), ("1", "b"),
    ]  # fmt: skip
    assert [video.path[-2:] for video in videos[1:3]] == ["#1", "#2"]
    check_leaks({"train": videos[:2], "test": videos[2:]})
    with pytest.raises(ValueError, match="share 1 groups"):
        check_leaks({"train": videos[:1], "test": videos[1:]})
    dataset = Clips(4, labels=[0, 1, 0])
    with pytest.raises(ValueError, match="4 items and 3 labels: give one for each item"):
        read_manifest(name_dataset(dataset, "data.train"))


def test_what_is_missing_is_no_label_and_no_group():
    dataset = Clips(6, labels=[None, math.nan, torch.tensor(0), np.int64(3), "", "dark"])
    dataset.groups = np.array([1.0, math.nan, 2.0, 3.0, 4.0, 5.0])
    videos = read_manifest(name_dataset(dataset, "data.train"))
    assert [video.label for video in videos] == [None, None, "0", "3", None, "dark"]
    assert [video.group for video in videos] == ["1.0", None, "2.0", "3.0", "4.0", "5.0"]
    dataset.labels[4] = [0, 1]
    with pytest.raises(
        ValueError, match=r"the label of item 4 of the dataset python:.*Clips:data\.train is \[0, 1\] of"
    ):
        list(read_manifest(name_dataset(dataset, "data.train")))


def test_a_name_stands_for_the_latest_dataset_of_its_class_and_key():
    one, two = Clips(), Clips()
    name = name_dataset(one, "data.train")
    assert dataset_of(name) is one
    assert name_dataset(two, "data.train") == name == f"python:{__name__}:Clips:data.train"
    assert dataset_of(name) is two
    assert dataset_of(name_dataset(one, "data.test")) is one
    with pytest.raises(TypeError, match=r"data\.train is of type int, which has no length"):
        name_dataset(3, "data.train")


def test_a_name_keeps_no_dataset_alive():
    dataset = Clips()
    watched = weakref.ref(dataset)
    name = name_dataset(dataset, "data.train")
    del dataset
    gc.collect()
    assert watched() is None
    with pytest.raises(ValueError, match="was given to a call of Python: give it again"):
        dataset_of(name)


def test_a_cell_of_a_notebook_may_run_twice(tmp_path):
    """The second call, with datasets of its own, is the same run, which is finished."""

    def cell():
        return vjepa.pretrain(
            "debug", data={"train": Clips(), "synthetic": None, "num_workers": 0},
            probe={"train": Clips(6, labels=[0, 1] * 3), "test": Clips(4, labels=[0, 1] * 2)},
            optim={"steps": 2, "warmup_steps": 1, "batch_size": 4}, output_dir=tmp_path,
            train={"trackers": [], "device": "cpu", "threads": 1},
        )  # fmt: skip

    assert cell() == cell()


def test_a_list_that_is_sent_to_another_process_takes_the_dataset_with_it(monkeypatch):
    dataset = Clips()
    sent = pickle.dumps(read_manifest(name_dataset(dataset, "data.train")))
    monkeypatch.setattr(python_datasets, "_given", {})  # as in a process that was spawned
    videos = pickle.loads(sent)
    with open_video(videos[3].path) as video:
        assert len(video) == 10


def test_a_dataset_is_named_by_its_module(tmp_path, monkeypatch):
    (tmp_path / "my_clips.py").write_text(
        "import torch\n\n\ndef clips():\n    return torch.zeros(3, 10, 3, 32, 32, dtype=torch.uint8)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert len(read_manifest("python:my_clips:clips")) == 3
    for name in ("python:my_clips:gone", "python:no_such_module:clips", "python:my_clips"):
        with pytest.raises(ValueError, match="give python:MODULE:NAME"):
            read_manifest(name)
    with pytest.raises(ValueError, match="was given to a call of Python"):
        read_manifest("python:my_clips:Clips:7")


def test_it_is_trained_on_and_classified(tmp_path, monkeypatch):
    """The same seed gives the same weights with loader workers as without."""
    monkeypatch.chdir(tmp_path)
    same = {
        "optim": {"steps": 2, "warmup_steps": 1, "batch_size": 4},
        "train": {"trackers": [], "device": "cpu", "threads": 1},
    }
    losses = []
    for workers in (0, 2):
        summary = vjepa.pretrain(
            "debug", output_dir=tmp_path / f"run{workers}", **same,
            data={"train": Clips(), "synthetic": None, "num_workers": workers},
        )  # fmt: skip
        losses.append(summary["final"]["loss"])
    assert losses[0] == losses[1]
    summary = vjepa.finetune(
        model=tmp_path / "run0", output_dir=tmp_path / "actions", train=same["train"],
        data={"train": Clips(8, labels=["dark"] * 4 + ["bright"] * 4), "num_workers": 0, "test_share": 0.25},
        optim={"epochs": 1, "warmup_epochs": 0},
    )  # fmt: skip
    assert summary["test"]["videos"] == 2
    assert vjepa.VideoClassifier.from_pretrained(tmp_path / "actions").classes == ("bright", "dark")


def test_a_dataset_of_hugging_face(tmp_path, write_video):
    datasets = pytest.importorskip("datasets", reason="Hugging Face datasets are not installed")
    paths = [write_video(f"{number}.mp4", frames=5) for number in range(3)]
    features = datasets.Features(
        {"video": datasets.Video(decode=False), "label": datasets.ClassLabel(names=["run", "jump"])}
    )
    table = datasets.Dataset.from_dict({"video": paths, "label": [0, 1, 1]}, features=features)
    videos = read_manifest(name_dataset(table, "data.train"))
    assert [video.label for video in videos] == ["run", "jump", "jump"]
    partly = datasets.Dataset.from_dict({"video": paths, "label": [-1, None, 1]}, features=features)
    for table in (partly, partly.with_format("torch")):
        found = read_manifest(name_dataset(table, "data.train"))
        assert [video.label for video in found] == [None, None, "jump"]
    with open_video(videos[2].path) as video, open_video(paths[2]) as file:
        torch.testing.assert_close(video.get_frames(range(5)), file.get_frames(range(5)))
