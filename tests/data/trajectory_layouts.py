"""Trajectories in the layouts that are read."""

import json

import numpy as np
import pytest

from vjepa.data.synthetic.write import encode_video

LENGTHS = (7, 5, 9)


def episodes(seed=0):
    """Smooth frames, that a lossy film keeps, and random rows."""
    rng = np.random.default_rng(seed)
    made = []
    for length in LENGTHS:
        level = rng.integers(20, 230, (length, 1, 1, 3))
        frames = np.broadcast_to(level, (length, 16, 24, 3)).astype(np.uint8)
        actions, states = (rng.normal(size=(length, width)).astype(np.float32) for width in (3, 2))
        made.append((frames, actions, states))
    return made


def write_folder(folder, suffix, made):
    folder.mkdir(exist_ok=True)
    for number, (frames, actions, states) in enumerate(made):
        if suffix == ".npz":
            np.save(folder / f"{number}.npy", frames)
            np.savez(folder / f"{number}.npz", actions=actions, states=states)
        else:
            encode_video(folder / f"{number}.mp4", frames, 10)
            write_table(folder / f"{number}.parquet", actions=actions, states=states)
    return str(folder)


def write_table(path, **columns):
    pytest.importorskip("pyarrow")
    import pyarrow.parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    plain = {
        name: [row.tolist() if isinstance(row, np.ndarray) else row for row in rows]
        for name, rows in columns.items()
    }
    pyarrow.parquet.write_table(pyarrow.table(plain), path)


INFO = {
    "fps": 10,
    "features": {
        "observation.images.top": {"dtype": "video"},
        "action": {"dtype": "float32"},
        "observation.state": {"dtype": "float32"},
    },
}


def write_lerobot2(folder, made):
    info = {
        **INFO, "codebase_version": "v2.1", "chunks_size": 2,
        "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
    }  # fmt: skip
    (folder / "meta").mkdir(parents=True)
    (folder / "meta" / "info.json").write_text(json.dumps(info))
    lines = []
    for number, (frames, actions, states) in enumerate(made):
        chunk = f"chunk-{number // 2:03d}"
        columns = {"action": actions, "observation.state": states}
        write_table(folder / "data" / chunk / f"episode_{number:06d}.parquet", **columns)
        video = folder / "videos" / chunk / "observation.images.top" / f"episode_{number:06d}.mp4"
        video.parent.mkdir(parents=True, exist_ok=True)
        encode_video(video, frames, 10)
        lines.append(json.dumps({"episode_index": number, "length": len(actions)}))
    (folder / "meta" / "episodes.jsonl").write_text("\n".join(lines) + "\n")
    return str(folder)


def write_robomimic(path, made):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        for number, (frames, actions, states) in enumerate(made):
            demo = file.create_group(f"data/demo_{number}")
            demo["actions"] = actions.astype(np.float64)
            demo["obs/agentview_image"] = frames
            demo["obs/joints"], demo["obs/arm"] = states[:, 1:], states[:, :1]
    return str(path)


def write_flat(path, made):
    h5py = pytest.importorskip("h5py")
    frames, actions, states = (np.concatenate([episode[part] for episode in made]) for part in range(3))
    with h5py.File(path, "w") as file:
        file["pixels"], file["action"], file["proprio"] = frames, actions, states
        file["ep_len"] = np.array(LENGTHS)
        file["ep_offset"] = np.cumsum([0, *LENGTHS[:-1]])
    return str(path)
