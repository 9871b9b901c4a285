"""Trajectories of every layout.

Frames, actions, states and the ends of episodes are those that were written.
"""

import json
import pickle

import numpy as np
import pytest
import torch

from tests.data.trajectory_layouts import (
    INFO,
    episodes,
    write_flat,
    write_folder,
    write_lerobot2,
    write_robomimic,
    write_table,
)
from vjepa.data.cache import VideoCache
from vjepa.data.readers.base import VideoDecodeError
from vjepa.data.synthetic.write import encode_video
from vjepa.data.trajectories.episode import check_alike
from vjepa.data.trajectories.open import read_episodes
from vjepa.data.trajectories.tables import Table


def check(found, wanted, exact, states=True):
    assert len(found) == len(wanted)
    check_alike(found)
    for episode, (frames, actions, known) in zip(found, wanted, strict=True):
        assert len(episode) == len(actions)
        np.testing.assert_array_equal(episode.actions_TA, actions)
        assert (episode.states_TQ is not None) == states
        if states:
            np.testing.assert_array_equal(episode.states_TQ, known)
        index = np.array([0, 2, len(actions) - 1])
        seen = episode.frames.read(index)
        assert seen.shape == (3, 3, 16, 24)
        assert seen.dtype == torch.uint8
        difference = np.abs(seen.permute(0, 2, 3, 1).numpy().astype(int) - frames[index])
        assert difference.max() <= (0 if exact else 6)


@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
def test_a_folder_of_videos_with_their_actions(suffix, tmp_path):
    source = write_folder(tmp_path / "f", suffix, episodes())
    (tmp_path / "f" / "._000.mp4").write_bytes(b"\0\5\x16\7")  # from macOS
    (tmp_path / "f" / "before.mp4").mkdir()
    check(read_episodes(source, states=True), episodes(), exact=suffix == ".npz")
    check(read_episodes(source), episodes(), exact=suffix == ".npz", states=False)


def write_lerobot3(folder, made):
    """The first two episodes share files; the third has a table and a video of its own."""
    info = {
        **INFO, "codebase_version": "v3.0",
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
    }  # fmt: skip
    (folder / "meta").mkdir(parents=True)
    (folder / "meta" / "info.json").write_text(json.dumps(info))
    rows, start = [], 0
    for file, group in enumerate((made[:2], made[2:])):
        columns = [np.concatenate([episode[part] for episode in group]) for part in range(3)]
        numbers = [2 * file + row for row, episode in enumerate(group) for _ in episode[0]]
        table = {"action": columns[1], "observation.state": columns[2], "episode_index": numbers}
        write_table(folder / "data" / "chunk-000" / f"file-{file:03d}.parquet", **table)
        video = folder / "videos" / "observation.images.top" / "chunk-000" / f"file-{file:03d}.mp4"
        video.parent.mkdir(parents=True, exist_ok=True)
        encode_video(video, columns[0], 10)
        first = 0
        for frames, _, _ in group:
            rows.append((len(rows), 0, file, start, start + len(frames), 0, file, first / 10))
            start, first = start + len(frames), first + len(frames)
    prefix = "videos/observation.images.top/"
    names = ["episode_index", "data/chunk_index", "data/file_index", "dataset_from_index", "dataset_to_index",
             *(prefix + name for name in ("chunk_index", "file_index", "from_timestamp"))]  # fmt: skip
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    write_table(folder / "meta" / "episodes" / "chunk-000" / "file-000.parquet", **columns)
    return str(folder)


@pytest.mark.parametrize("write", [write_lerobot2, write_lerobot3])
def test_lerobot_s_layouts(write, tmp_path):
    source = write(tmp_path / "d", episodes())
    check(read_episodes(source, states=True), episodes(), exact=False)
    check(read_episodes(source, camera="observation.images.top"), episodes(), exact=False, states=False)
    cache = VideoCache(tmp_path / "cache", 16)
    check(read_episodes(source, states=True, cache=cache), episodes(), exact=False)


def test_lerobot_s_cameras_and_versions_are_named(tmp_path):
    source = write_lerobot2(tmp_path / "d", episodes())
    path = tmp_path / "d" / "meta" / "info.json"
    info = json.loads(path.read_text())
    with pytest.raises(ValueError, match=r"cameras observation\.images\.top and data\.camera is left"):
        read_episodes(source, camera="left")
    info["features"]["observation.images.wrist"] = {"dtype": "video"}
    path.write_text(json.dumps(info))
    with pytest.raises(ValueError, match=r"top, observation\.images\.wrist and data\.camera is None"):
        read_episodes(source)
    path.write_text(json.dumps({**info, "codebase_version": "v1.6"}))
    with pytest.raises(ValueError, match=r"version '1\.6': 2\.x and 3\.0"):
        read_episodes(source, camera="observation.images.top")
    path.write_text(json.dumps({**info, "features": {"action": {"dtype": "float32"}}}))
    with pytest.raises(ValueError, match="has no videos"):
        read_episodes(source)


def test_lerobot_s_broken_files_are_named(tmp_path):
    source, meta = write_lerobot2(tmp_path / "d", episodes()), tmp_path / "d" / "meta"
    table = tmp_path / "d" / "data" / "chunk-000" / "episode_000001.parquet"
    write_table(table, action=np.full((5, 3), np.nan))
    with pytest.raises(ValueError, match=r"episode_000001\.mp4: actions of 5 frames are not finite"):
        read_episodes(source)
    with pytest.raises(ValueError, match=r"episode_000001\.parquet has no column observation\.state"):
        read_episodes(source, states=True)
    write_table(table, action=np.zeros((5, 4)))
    with pytest.raises(ValueError, match=r"episode_000001\.mp4 has actions of 4 numbers"):
        check_alike(read_episodes(source))
    table.unlink()
    with pytest.raises(ValueError, match=r"episode_000001\.parquet cannot be read as Parquet"):
        read_episodes(source)
    (meta / "episodes.jsonl").unlink()
    with pytest.raises(ValueError, match=r"episodes\.jsonl cannot be read"):
        read_episodes(source)
    (meta / "info.json").write_text(json.dumps({"codebase_version": "v2.1"}))
    with pytest.raises(ValueError, match=r"info\.json has no features, data_path, video_path, fps"):
        read_episodes(source)
    (meta / "info.json").write_text("{")
    with pytest.raises(ValueError, match=r"info\.json cannot be read as JSON"):
        read_episodes(source)


def test_rows_of_lerobot_s_shared_tables_are_found_by_their_episode(tmp_path):
    made = episodes()
    source, folder = write_lerobot3(tmp_path / "d", made), tmp_path / "d"
    table, listed = (folder / name / "chunk-000" / "file-000.parquet" for name in ("data", "meta/episodes"))
    pyarrow = pytest.importorskip("pyarrow.parquet")
    whole = pyarrow.read_table(listed)
    pyarrow.write_table(whole.take([2, 1, 0]), listed)
    check(read_episodes(source, states=True), made[::-1], exact=False)
    rows = pyarrow.read_table(table)
    pyarrow.write_table(rows.slice(0, len(rows) - 2), table)
    with pytest.raises(ValueError, match=r"has 3 rows of episode 1 .* meta/episodes says 5"):
        read_episodes(source)
    listed.unlink()
    with pytest.raises(ValueError, match=r"episodes has no \.parquet"):
        read_episodes(source)


@pytest.mark.parametrize("write", [write_robomimic, write_flat])
def test_hdf5_s_layouts(write, tmp_path):
    source = write(tmp_path / "d.hdf5", episodes())
    check(read_episodes(source, states=True), episodes(), exact=True)
    check(read_episodes(source), episodes(), exact=True, states=False)
    frames = read_episodes(source)[1].frames
    assert pickle.loads(pickle.dumps(frames)) == frames


def test_flat_hdf5_as_stable_worldmodel_writes_it(tmp_path):
    """The last action of an episode is NaN there, and goals are images, too."""
    h5py, made = pytest.importorskip("h5py"), episodes()
    path, wanted = tmp_path / "d.h5", [(frames, actions.copy(), states) for frames, actions, states in made]
    for (_, actions, _), (_, expected, _) in zip(made, wanted, strict=True):
        actions[-1], expected[-1] = np.nan, 0
    write_flat(path, made)
    with h5py.File(path, "a") as file:
        file["goal"] = 255 - file["pixels"][:]
    check(read_episodes(str(path), states=True), wanted, exact=True)
    seen = read_episodes(str(path), camera="goal")[2].frames.read(np.array([1]))
    np.testing.assert_array_equal(seen[0].permute(1, 2, 0).numpy(), 255 - made[2][0][1])
    with h5py.File(path, "a") as file:
        file["action"][1] = np.nan
    with pytest.raises(ValueError, match="actions of 1 frames are not finite, the first is frame 1"):
        read_episodes(str(path))


def test_flat_hdf5_that_cannot_be_used_is_named(tmp_path):
    h5py, path = pytest.importorskip("h5py"), tmp_path / "d.h5"
    write_flat(path, episodes())
    with h5py.File(path, "a") as file:
        file["ep_len"][2] += 1
    with pytest.raises(ValueError, match="episode 2 ends at row 22, and the file has 21 rows"):
        read_episodes(str(path))
    with h5py.File(path, "a") as file:
        file["ep_len"][2] -= 1
        del file["proprio"]
    with pytest.raises(ValueError, match=r"no 'proprio' or 'state'.*data\.states false"):
        read_episodes(str(path), states=True)
    with h5py.File(path, "a") as file:
        pixels = file["pixels"][:]
        del file["pixels"]
        file["pixels"] = pixels / 255  # would pass for tokens
    with pytest.raises(ValueError, match=r"has the images \(none\).*uint8"):
        read_episodes(str(path))
    with h5py.File(path, "a") as file:
        del file["pixels"]
        facts = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        facts.set_chunk((1, *pixels.shape[1:]))
        facts.set_filter(300, h5py.h5z.FLAG_OPTIONAL)  # a number that no filter has
        space = h5py.h5s.create_simple(pixels.shape)
        h5py.h5d.create(file.id, b"pixels", h5py.h5t.NATIVE_UINT8, space, facts)
    with pytest.raises(ValueError, match=r"pixels is compressed by filter 300.*pip install hdf5plugin"):
        read_episodes(str(path))


def test_hdf5_that_cannot_be_used_is_named(tmp_path):
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "d.h5"
    write_robomimic(path, episodes())
    with h5py.File(path, "a") as file:
        file["data/demo_1/obs/wrist_image"] = np.zeros((5, 4, 4, 3), np.uint8)
    with pytest.raises(ValueError, match=r"agentview_image, wrist_image and data\.camera is None"):
        read_episodes(str(path))
    with h5py.File(path, "a") as file:
        del file["data/demo_1/obs/wrist_image"], file["data/demo_1/obs/joints"]
    with pytest.raises(ValueError, match=r"states of 1, .* of 3 and 2: give episodes of one kind"):
        check_alike(read_episodes(str(path), states=True))
    with h5py.File(path, "a") as file:
        del file["data/demo_1/obs"]
    with pytest.raises(ValueError, match="data/demo_1 has no 'obs'"):
        read_episodes(str(path))
    write_robomimic(path, episodes())
    with h5py.File(path, "a") as file:
        del file["data/demo_2/actions"]
    with pytest.raises(ValueError, match="data/demo_2 has no 'actions'"):
        read_episodes(str(path))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match="cannot be read as HDF5"):
        read_episodes(str(path))
    with h5py.File(path, "w") as file:
        file["data"] = np.zeros(3)
    with pytest.raises(ValueError, match="has data: give robomimic"):
        read_episodes(str(path))
    write_flat(path, episodes())
    found = read_episodes(str(path))
    path.unlink()
    with pytest.raises(VideoDecodeError):
        found[0].frames.read(np.array([0]))


def test_folders_that_cannot_be_used_are_named(tmp_path):
    with pytest.raises(ValueError, match="there is no"):
        read_episodes(str(tmp_path / "nothing"))
    with pytest.raises(ValueError, match="has no episodes"):
        read_episodes(str(tmp_path))
    (tmp_path / "text.txt").write_text("x")
    with pytest.raises(ValueError, match="is no file of trajectories"):
        read_episodes(str(tmp_path / "text.txt"))
    source = write_folder(tmp_path / "f", ".npz", episodes())
    np.savez(tmp_path / "f" / "1.npz", states=np.zeros((5, 2)))
    with pytest.raises(ValueError, match=r"1\.npz has no 'actions'"):
        read_episodes(source)
    np.savez(tmp_path / "f" / "1.npz", actions=np.zeros((5, 3)))
    with pytest.raises(ValueError, match=r"1\.npz has no 'states': add them.*data\.states false"):
        read_episodes(source, states=True)
    whole, array = (tmp_path / "f" / name for name in ("0.npz", "0.npy"))
    for broken in (b"PK no archive", b"", whole.read_bytes()[:-40], array.read_bytes()):
        (tmp_path / "f" / "1.npz").write_bytes(broken)
        with pytest.raises(ValueError, match=r"1\.npz cannot be read"):
            read_episodes(source)
    (tmp_path / "f" / "1.npz").unlink()
    with pytest.raises(ValueError, match=r"1\.npy has no actions: put 1\.npz or 1\.parquet"):
        read_episodes(source)
    np.savez(tmp_path / "f" / "1.npz", actions=np.zeros((5, 3)), states=np.zeros((4, 2)))
    with pytest.raises(ValueError, match=r"states have shape \(4, 2\) and actions \(5, 3\)"):
        read_episodes(source, states=True)


def test_tables_that_cannot_be_used_are_named(tmp_path):
    source = write_folder(tmp_path / "f", ".parquet", episodes())
    path = tmp_path / "f" / "1.parquet"
    write_table(path, actions=[[1.0, 2.0], [1.0]], states=[[1.0], [2.0]])
    with pytest.raises(ValueError, match=r"1\.parquet: the rows of 'actions' are not lists of one length"):
        read_episodes(source)
    for rows in ([[1.0], [None]], [[1.0], None], [1.0, None], ["a", "b"]):
        write_table(path, actions=rows)
        with pytest.raises(ValueError, match=r"1\.parquet: the rows of 'actions' are not lists"):
            read_episodes(source)
    write_table(path, actions=[])
    with pytest.raises(ValueError, match=r"1\.parquet: 'actions' has no rows"):
        read_episodes(source)
    write_table(path, states=[[1.0]])
    with pytest.raises(ValueError, match=r"1\.parquet has no 'actions'"):
        read_episodes(source)
    path.write_bytes(b"PAR1 no table")
    with pytest.raises(ValueError, match=r"1\.parquet cannot be read as Parquet"):
        read_episodes(source)


def test_columns_of_numbers_and_of_lists_in_lists_are_rows(tmp_path):
    write_table(tmp_path / "t.parquet", plain=[1, 2, 3], deep=[[[1.5, 2], [3, 4]]] * 3)
    table = Table(tmp_path / "t.parquet")
    np.testing.assert_array_equal(table.rows("plain"), [[1], [2], [3]])
    np.testing.assert_array_equal(table.rows("deep"), [[1.5, 2, 3, 4]] * 3)
    assert table.rows("deep").dtype == np.float32


def test_columns_of_lists_of_a_fixed_size_are_rows(tmp_path):
    """What LeRobot writes."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table as write

    path, pairs = tmp_path / "t.parquet", pyarrow.list_(pyarrow.float32(), 2)
    write(pyarrow.table({"a": pyarrow.array([[1.0, 2.0], [3.0, 4.0]], pairs)}), path)
    np.testing.assert_array_equal(Table(path).rows("a"), [[1, 2], [3, 4]])
    for missing in ([[1.0, 2.0], None], [None, None]):
        write(pyarrow.table({"a": pyarrow.array(missing, pairs)}), path)
        with pytest.raises(ValueError, match="rows of 'a' are not lists of one length"):
            Table(path).rows("a")
