"""A comparison small enough for tests, as a YAML file."""

import yaml

BASE = {
    "data": {
        "synthetic": {
            "num_train": 16,
            "num_test": 16,
            "render": {"size": 16, "frames": 8, "objects": [1, 2]},
        },
        "clip": {"num_frames": 4, "stride": 1},
        "size": 16,
        "crop_scale": [1.0, 1.0],
        "crop_ratio": [1.0, 1.0],
        "flip": False,
        "num_workers": 0,
    },
    "masks": {"multiblock": [{"num_blocks": 1, "spatial_scale": [0.3, 0.3]}]},
    "encoder": {"size": "nano", "embed_dim": 24, "num_heads": 2, "depth": 2, "tubelet": [2, 4, 4]},
    "predictor": {"embed_dim": 12, "depth": 1, "num_heads": 1},
    "optim": {"steps": 4, "batch_size": 4, "warmup_steps": 2, "lr": 1e-3},
    "train": {"trackers": [], "device": "cpu", "log_every": 1},
}
OWN_CLIPS = {**BASE, "data": {key: value for key, value in BASE["data"].items() if key != "synthetic"}}
PIXELS = {"objective": {"predict": "pixels"}}
ARMS = {
    "vjepa": {"title": "V-JEPA"},
    "pixels": {"title": "pixels", "overrides": PIXELS},
    "untrained": {"title": "untrained", "kind": "untrained"},
}


def written(folder, **changes):
    """Arguments that read the comparison with changes to it; a change to None takes a key away."""
    tree = {
        "title": "T",
        "question": "Q?",
        "output_dir": str(folder / "out"),
        "base": BASE,
        "arms": ARMS,
        "contrasts": [["vjepa", "pixels"]],
        "seeds": [0, 1, 2],
        "label_shares": [0.5, 1.0],
        "jobs": 1,
        **changes,
    }
    path = folder / "compare.yaml"
    tree = {key: value for key, value in tree.items() if value is not None}
    path.write_text(yaml.safe_dump(tree, sort_keys=False))
    return ["--config", str(path)]
