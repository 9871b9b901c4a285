"""Sources of trajectories: episodes chosen, left out and damaged, and descriptions that are not trusted."""

import json

import numpy as np
import pytest
import torch

from tests.data.trajectory_layouts import episodes, write_flat, write_folder, write_lerobot2, write_robomimic
from vjepa.data.sampling import SampleKey
from vjepa.data.trajectories import episode as episode_module
from vjepa.data.trajectories.episode import Episode
from vjepa.data.trajectories.open import read_episodes
from vjepa.data.trajectories.selection import split_source
from vjepa.data.trajectories.window import WindowConfig
from vjepa.data.trajectories.windows import TrajectoryDataset

INFO = {
    "codebase_version": "v2.1",
    "fps": 10,
    "features": {"cam": {"dtype": "video"}},
    "chunks_size": 1000,
    "data_path": "data/{episode_index:06d}.parquet",
    "video_path": "videos/{video_key}/{episode_index:06d}.mp4",
}


def numbers(source, **reading):
    return [one.number for one in read_episodes(source, **reading)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", [0, 1, 2]),
        ("?episodes=0-1", [0, 1]),
        ("?episodes=2", [2]),
        ("?episodes=1-", [1, 2]),
        ("?without=1", [0, 2]),
        ("?episodes=0-0,1-2&without=0,2", [1]),
    ],
)
def test_episodes_are_chosen_by_number(query, expected, tmp_path):
    assert numbers(write_flat(tmp_path / "d.h5", episodes()) + query) == expected
    assert numbers(write_folder(tmp_path / "f", ".npz", episodes()) + query) == expected


def test_numbers_are_those_of_the_data_set(tmp_path):
    h5py = pytest.importorskip("h5py")
    source = write_robomimic(tmp_path / "d.hdf5", episodes())
    with h5py.File(source, "a") as file:
        file.move("data/demo_1", "data/demo_17")
    assert numbers(source) == [0, 2, 17]
    (one,) = read_episodes(f"{source}?episodes=17")
    np.testing.assert_array_equal(one.actions_TA, episodes()[1][1])
    assert one.where == f"{source}, episode 17"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("episodes=3", "asks for episode 3, which is not there: it has 3, from 0 to 2"),
        ("episodes=0-3", "asks for episode 3"),
        ("without=5", "asks for episode 5"),
        ("episodes=2-1", "range '2-1': give a number"),
        ("episodes=first", "range 'first'"),
        ("episodes=-1", "range '-1'"),
        ("split=train", "selects by 'split=train': give episodes=0-179"),
        ("episodes=0&without=0", "lists 3, and none of them is chosen"),
    ],
)
def test_what_cannot_be_chosen_is_said(query, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        read_episodes(f"{write_flat(tmp_path / 'd.h5', episodes())}?{query}")


def test_a_file_that_is_called_so_is_no_selection(tmp_path):
    source = write_flat(tmp_path / "d?episodes=0.h5", episodes())
    assert split_source(source)[0] == source


def test_short_and_damaged_episodes_are_named_and_left_out_up_to_a_share(tmp_path):
    h5py = pytest.importorskip("h5py")
    source = write_flat(tmp_path / "d.h5", episodes())  # of 7, 5 and 9 frames
    with h5py.File(source, "a") as file:
        file["action"][13] = np.inf
    with pytest.raises(
        ValueError, match=r"2 of 3 episodes .*\?without=1,2.*(?s:.*)episode 1: .*has 5 frames.*spans 6"
    ):
        read_episodes(source, least_frames=6, max_unusable=0.6)
    with pytest.warns(
        UserWarning, match=r"2 of 3 episodes(?s:.*)episode 2: .* actions of 1 frames are not finite"
    ):
        assert numbers(source, least_frames=6, max_unusable=0.7) == [0]
    assert numbers(f"{source}?without=1,2", least_frames=6) == [0]
    with pytest.raises(ValueError, match="3 of 3 episodes"):
        read_episodes(source, least_frames=10, max_unusable=1.0)


def test_whatever_a_damaged_episode_raises_is_its_own_fault(tmp_path):
    folder, made = tmp_path / "f", episodes()
    source = write_folder(folder, ".npz", made)
    array = (folder / "1.npz").read_bytes()
    (folder / "1.npz").write_bytes(array[:60] + b"\xff" * 40 + array[100:])
    with pytest.warns(UserWarning, match="episode 1: "):
        assert numbers(source, max_unusable=0.4) == [0, 2]
    np.savez(folder / "1.npz", actions=np.ones((5, 2), complex))
    with pytest.raises(ValueError, match="'actions' holds complex128: give real numbers"):
        read_episodes(source)


def test_an_archive_that_unpacks_to_more_than_an_episode_is_refused(tmp_path, monkeypatch):
    source = write_folder(tmp_path / "f", ".npz", episodes())
    monkeypatch.setattr("vjepa.data.trajectories.folder.MOST_NUMBERS", 10)
    with pytest.raises(ValueError, match=r"'actions' unpacks to .* bytes, more than an episode's 80"):
        read_episodes(source)


class Broken:
    """Frames whose parser raises what nobody foresaw."""

    path = "all.h5"

    def read(self, index_K, damage=None):
        raise LookupError("a table is damaged")


class Whole:
    path = "all.h5"

    def read(self, index_K, damage=None):
        return torch.zeros(len(index_K), 3, 4, 4, dtype=torch.uint8)


def test_frames_that_cannot_be_read_are_counted_by_episode():
    rows = np.zeros((5, 1), np.float32)
    made = [
        Episode(frames(), rows, number=n, shared=True) for n, frames in enumerate((Broken, Broken, Whole))
    ]
    sample = TrajectoryDataset(made, WindowConfig(frames=2), lambda video: video)[SampleKey(0, 0, 0)]
    assert sample.path == "all.h5, episode 2"
    cause = "LookupError: a table is damaged"
    assert sample.failures == (("all.h5, episode 0", cause), ("all.h5, episode 1", cause))


def described(folder, info, lines=('{"episode_index": 0}',)):
    (folder / "meta").mkdir(parents=True)
    (folder / "meta" / "info.json").write_text(json.dumps(info))
    (folder / "meta" / "episodes.jsonl").write_text("\n".join(lines))
    return str(folder)


@pytest.mark.parametrize("kind", ["data_path", "video_path"])
@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("/etc/passwd", "gives /etc/passwd: it must stay in the dataset's folder"),
        ("../../{episode_index}.mp4", r"gives \.\./\.\./0\.mp4"),
        ("{video_key.__class__.__mro__}", "in braces it may have episode_chunk, episode_index, video_key"),
        ("{video_key[0]}", "in braces"),
        ("{video_key!r}", "in braces"),
        ("{episode_index:>1000000000}", "in braces"),
        ("{episode_index:{episode_index}}", "in braces"),
        ("{0}", "in braces"),
        ("{episode_index", "is no template"),
    ],
)
def test_lerobot_s_templates_are_not_trusted(kind, template, message, tmp_path):
    with pytest.raises(ValueError, match=rf"info\.json has {kind} = '.*{message}"):
        read_episodes(described(tmp_path / "d", {**INFO, kind: template}))


def test_a_camera_s_name_leads_nowhere_else(tmp_path):
    info = {**INFO, "features": {"../../..": {"dtype": "video"}}}
    with pytest.raises(ValueError, match="must stay in the dataset's folder"):
        read_episodes(described(tmp_path / "d", info))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"chunks_size": 0}, "chunks_size = 0: it must be a whole number above 0"),
        ({"features": ["cam"]}, r"features = \['cam'\]: it must be an object of objects"),
        ({"features": {"cam": 3}}, "features = .*: it must be an object of objects"),
        ({"fps": "10"}, "fps = 10: it must be a number above 0"),
        ({"fps": float("nan")}, "fps = nan"),
        ({"codebase_version": 2}, "codebase_version = 2: it must be text"),
        ({"video_path": None}, "video_path = None: it must be text"),
    ],
)
def test_lerobot_s_values_are_checked(change, message, tmp_path):
    with pytest.raises(ValueError, match=rf"info\.json has {message}"):
        read_episodes(described(tmp_path / "d", {**INFO, **change}))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ((), "has no episodes: it lists 0"),
        (('{"episode_index": -1}',), r"episodes\.jsonl has episode_index = -1: it must be a whole number"),
        (('{"episode_index": "0"}',), "episode_index = 0: it must be"),
        (("[0]",), r"episodes\.jsonl cannot be read"),
    ],
)
def test_lerobot_s_list_is_checked(lines, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        read_episodes(described(tmp_path / "d", INFO, lines))


def test_links_on_this_machine_are_followed(tmp_path):
    """As the hub's cache has them: files of a dataset are links to blobs elsewhere."""
    source = write_lerobot2(tmp_path / "d", episodes())
    (tmp_path / "d" / "videos").rename(tmp_path / "blobs")
    (tmp_path / "d" / "videos").symlink_to(tmp_path / "blobs")
    assert read_episodes(source)[0].frames.read(np.array([0])).shape == (1, 3, 16, 24)


def external_link(h5py, file, other):
    file["pixels"] = h5py.ExternalLink(other, "pixels")


def soft_link(h5py, file, other):
    file["hidden"] = h5py.ExternalLink(other, "/")
    file["pixels"] = h5py.SoftLink("/hidden/pixels")


def external_storage(h5py, file, other):
    file.create_dataset("pixels", (21, 16, 24, 3), np.uint8, external=[(other, 0, h5py.h5f.UNLIMITED)])


def virtual(h5py, file, other):
    layout = h5py.VirtualLayout((21, 16, 24, 3), np.uint8)
    layout[:] = h5py.VirtualSource(other, "pixels", (21, 16, 24, 3))
    file.create_virtual_dataset("pixels", layout)


@pytest.mark.parametrize("lead_out", [external_link, soft_link, external_storage, virtual])
def test_hdf5_does_not_lead_to_other_files(lead_out, tmp_path):
    h5py = pytest.importorskip("h5py")
    other, source = write_flat(tmp_path / "o.h5", episodes()), write_flat(tmp_path / "d.h5", episodes())
    with h5py.File(source, "a") as file:
        del file["pixels"]
        lead_out(h5py, file, other)
    with pytest.raises(ValueError, match=r"/(pixels|hidden) .*other file.*cop(y|ied)"):
        read_episodes(source)


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("ep_offset", [-3, 7, 12], "episode 0 has ep_offset -3 and ep_len 7: give 0 or more"),
        ("ep_len", [7, 0, 9], "episode 1 has ep_offset 7 and ep_len 0"),
        ("ep_len", [7, 5, 2**62], "episode 2 ends at row"),
        ("ep_len", [7, 5], "has 3 ep_offset and 2 ep_len"),
        (
            "ep_len",
            [7.0, 5.0, 9.0],
            r"ep_len has the shape \(3,\) of float64: give one whole number an episode",
        ),
        ("ep_len", [[7, 5, 9]], r"ep_len has the shape \(1, 3\)"),
    ],
)
def test_places_of_flat_hdf5_are_checked(column, values, message, tmp_path):
    h5py = pytest.importorskip("h5py")
    source = write_flat(tmp_path / "d.h5", episodes())
    with h5py.File(source, "a") as file:
        del file[column]
        file[column] = np.array(values)
    with pytest.raises(ValueError, match=message):
        read_episodes(source)


def test_a_file_of_nothing_but_claims_fills_no_memory(tmp_path):
    """Sparse datasets of 2^33 rows in a file of some kilobytes."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "d.h5", "w") as file:
        for name, shape, kind in (("pixels", (4, 4, 3), np.uint8), ("action", (2,), np.float32)):
            file.create_dataset(name, (2**33, *shape), kind, chunks=(1024, *shape))
        file["ep_offset"], file["ep_len"] = np.array([0]), np.array([2**33])
    with pytest.raises(
        ValueError, match=f"action has {2**34} numbers: an episode has at most {episode_module.MOST_NUMBERS}"
    ):
        read_episodes(str(tmp_path / "d.h5"))
