"""Parts that share nothing."""

from pathlib import Path

import pytest
import torch

from vjepa.data.manifest import Video, read_manifest
from vjepa.data.splits import check_leaks, folds_by_group, label_subset, split_by_group, take_labels

REAL = Path(__file__).parents[3] / "shared" / "data"


def videos_of(groups=8, each=5, classes=2):
    return [
        Video(f"/v/{group}_{number}.mp4", label=str((group + number) % classes), group=f"g{group}")
        for group in range(groups)
        for number in range(each)
    ]


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_no_group_is_in_both_parts(share):
    videos = videos_of(groups=20)
    rest, held = split_by_group(videos, share, seed=0)
    assert not {v.group for v in rest} & {v.group for v in held}
    assert sorted(v.path for v in (*rest, *held)) == sorted(v.path for v in videos)
    assert len(held) / len(videos) == pytest.approx(share, abs=0.06)
    assert {v.label for v in rest} == {v.label for v in held} == {"0", "1"}
    assert split_by_group(videos, share, seed=0) == (rest, held)
    assert split_by_group(videos, share, seed=1) != (rest, held)


@pytest.mark.parametrize("share", [0.1, 0.2, 0.25, 0.3, 0.4, 0.45, 0.5, 0.6, 0.7, 0.9])
def test_the_share_that_is_asked_for_is_held_back(share):
    videos = videos_of(groups=200, each=1, classes=4)
    rest, held = split_by_group(videos, share, 0, "data.test_share")
    assert len(held) / 200 == pytest.approx(share, abs=0.025)
    assert sorted(video.path for video in (*rest, *held)) == sorted(video.path for video in videos)
    assert {video.label for video in held} == {video.label for video in rest} == {"0", "1", "2", "3"}


def test_videos_without_groups_are_split_one_by_one():
    videos = [Video(f"/v/{n}.mp4", label=str(n % 3)) for n in range(30)]
    rest, held = split_by_group(videos, 0.2, seed=0)
    assert len(held) == 6
    assert {v.label for v in held} == {"0", "1", "2"}
    assert len(rest) == 24


def test_few_videos_of_a_class_are_split_without_a_word(recwarn):
    videos = [Video(f"/v/{n}.mp4", label=str(n % 2)) for n in range(6)]
    rest, held = split_by_group(videos, 0.2, seed=0)
    assert len(held) == 2
    assert {v.label for v in rest} == {v.label for v in held} == {"0", "1"}
    assert not recwarn


def test_a_class_of_one_group_cannot_be_split():
    videos = [*videos_of(), Video("/v/rare.mp4", label="rare", group="only")]
    with pytest.raises(ValueError, match="all videos of rare are of one group"):
        split_by_group(videos, 0.2, seed=0)
    with pytest.raises(ValueError, match="share is 1"):
        split_by_group(videos_of(), 1, seed=0)


def test_folds_share_no_group_and_hold_every_video_back_once():
    videos = [*videos_of(groups=20), Video("/v/rare.mp4", label="rare", group="only")]
    folds = folds_by_group(videos, 4, seed=0, setting="list")
    assert sorted(row for rows in folds for row in rows) == list(range(100))
    groups = [{videos[row].group for row in rows} for rows in folds]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 20
    for rows in folds:
        assert len(rows) == pytest.approx(25, abs=5)
        assert {videos[row].label for row in rows} == {"0", "1"}
    assert folds_by_group(videos, 4, seed=0, setting="list") == folds
    assert folds_by_group(videos, 4, seed=1, setting="list") != folds


def test_few_groups_make_fewer_folds_and_one_makes_none():
    assert len(folds_by_group(videos_of(groups=3), 4, seed=0, setting="list")) == 3
    with pytest.raises(ValueError, match="list has 2 classes, of which 2 have videos of one group alone"):
        folds_by_group(videos_of(groups=1), 4, seed=0, setting="list")
    singles = [Video(f"/v/{n}.mp4", label=str(n % 2)) for n in range(4)]
    folds = folds_by_group(singles, 4, seed=0, setting="list")  # no class has videos for more than two
    assert [{singles[row].label for row in rows} for rows in folds] == [{"0", "1"}, {"0", "1"}]


def test_real_clips_are_split_by_their_sources():
    if not REAL.exists():
        pytest.skip("../shared/data is absent")
    videos = read_manifest(f"{REAL}/jhmdb7.csv?split1=train")
    rest, held = split_by_group(videos, 0.2, seed=0)
    assert not {v.group for v in rest} & {v.group for v in held}
    assert 0.1 < len(held) / len(videos) < 0.3
    check_leaks({"rest": rest, "held": held})


def files(folder, **contents):
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return {name: Video(str(folder / name), label="a") for name in contents}


def test_shared_groups_are_a_leak():
    with pytest.raises(ValueError, match=r"train and test share 1 groups, e\.g\. g3"):
        check_leaks({"train": videos_of(4), "test": [Video("/w/x.mp4", label="0", group="g3")]})


def test_the_same_file_is_a_leak_unless_other_seconds_count(tmp_path):
    video = files(tmp_path, a=b"one")["a"]
    (tmp_path / "link").symlink_to(video.path)
    early, late = Video(video.path, end=2.0), Video(str(tmp_path / "link"), start=2.0)
    check_leaks({"train": [early], "test": [late]})
    with pytest.raises(ValueError, match="train and test share what"):
        check_leaks({"train": [early], "test": [Video(video.path, start=1.5)]})


def test_the_same_content_is_a_leak(tmp_path):
    found = files(tmp_path, a=b"one", b=b"two", c=b"one")
    check_leaks({"train": [found["a"]], "test": [found["b"]]})
    with pytest.raises(ValueError, match=f"{tmp_path}/a and {tmp_path}/c show"):
        check_leaks({"train": [found["a"], found["b"]], "val": [], "test": [found["c"]]})


@pytest.mark.parametrize("order", [1, -1])
def test_a_copy_of_a_part_is_a_leak_whatever_else_stands_in_the_split(tmp_path, order):
    found = files(tmp_path, a=b"one", copy=b"one")
    train = [found["copy"], Video(found["a"].path, end=1.0)][::order]
    with pytest.raises(ValueError, match=f"{tmp_path}/copy and {tmp_path}/a show"):
        check_leaks({"train": train, "test": [Video(found["a"].path, start=1.0)]})


@pytest.mark.parametrize("groups", ["none", "all but copies"])
def test_equal_contents_are_on_one_side(tmp_path, groups):
    """Copies and links of a file are held back together, and files that only begin alike are not."""
    videos = []
    for number in range(12):
        path = tmp_path / f"{number}.npy"
        path.write_bytes(bytes(100_000) + bytes([number // 2]))
        group = None if groups == "none" or number % 2 else f"g{number}"
        videos.append(Video(str(path), str(number // 2 % 2), group=group))
    (tmp_path / "link.npy").symlink_to(tmp_path / "0.npy")
    videos.append(Video(str(tmp_path / "link.npy"), "0"))
    for seed in range(5):
        parts = split_by_group(videos, 0.3, seed)
        contents = [{Path(video.path).read_bytes() for video in part} for part in parts]
        assert not contents[0] & contents[1]
        assert len(parts[1]) >= 4


def test_few_labels_are_of_every_class_and_nested():
    videos = videos_of(groups=20, each=5, classes=3)
    few, more = take_labels(videos, 0.05, seed=0), take_labels(videos, 0.2, seed=0)
    assert {v.label for v in few} == {"0", "1", "2"}
    assert set(few) < set(more)
    assert len(more) == pytest.approx(20, abs=2)
    assert take_labels(videos, 1, seed=0) == videos
    assert take_labels(videos, 0.05, seed=1) != few


@pytest.mark.parametrize(("share", "number"), [(0.07, 7), (0.14, 14), (0.29, 29), (0.071, 8)])
def test_a_share_of_the_labels_is_rounded_up_as_it_is_written(share, number):
    assert len(label_subset(torch.zeros(100, dtype=torch.long), share, seed=0)) == number


def test_what_is_elsewhere_is_compared_by_its_address():
    first, second = Video("https://host.example/a.mp4"), Video("https://host.example/b.mp4")
    check_leaks({"train": [first], "test": [second]})
    with pytest.raises(ValueError, match="train and test share what"):
        check_leaks({"train": [first], "test": [first]})
