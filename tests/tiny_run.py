"""A run small enough to be taken many times: 12 steps on eight tiny videos."""

import json

import pytest

from vjepa.config import read_config
from vjepa.data.synthetic.settings import RenderSettings
from vjepa.data.synthetic.write import write_videos
from vjepa.recipes.pretrain.config import PretrainConfig

STEPS = 12
CLOCK = ("clips_per_second", "data_wait", "data_wait_most", "data_wait_process", "memory_gb")


@pytest.fixture(scope="session")
def manifest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    return write_videos(folder, RenderSettings(size=16, frames=6), num_videos=10, seed=0)


@pytest.fixture
def tiny_arguments(manifest, tmp_path):
    """Arguments of a run; later ones override earlier ones."""
    own = tmp_path / "own.yaml"  # with a configuration, no recipe is chosen
    own.write_text("seed: 0\n")

    def arguments(folder="run", *changes):
        return [
            f"--config={own}",
            f"--output_dir={tmp_path / folder}",
            f"--data.train={manifest}",
            "--data.clip.num_frames=4",
            "--data.clip.stride=1",
            "--data.size=16",
            "--data.num_workers=0",
            "--data.cache.folder=" + str(tmp_path / "cache"),
            "--data.cache.short_side=16",
            "--masks.multiblock=[{num_blocks: 2, spatial_scale: [0.3, 0.3]}, {num_blocks: 1, spatial_scale: "
            "[0.5, 0.5]}]",
            "--encoder.size=nano",
            "--encoder.embed_dim=24",
            "--encoder.num_heads=2",
            "--encoder.depth=2",
            "--encoder.tubelet=[2, 4, 4]",
            "--encoder.drop_path=0.2",
            "--predictor.embed_dim=12",
            "--predictor.depth=1",
            "--predictor.num_heads=1",
            f"--optim.steps={STEPS}",
            "--optim.batch_size=4",
            "--optim.warmup_steps=3",
            "--optim.final_weight_decay=0.4",
            "--train.log_every=1",
            "--train.checkpoint_every=3",
            "--train.trackers=[]",
            "--train.device=cpu",
            "--train.threads=1",
            *changes,
        ]

    return arguments


@pytest.fixture
def tiny_config(tiny_arguments):
    return lambda *arguments: read_config(tiny_arguments(*arguments), PretrainConfig)


def metrics(folder):
    """What was logged, without what the clock says."""
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in record.items() if key not in CLOCK} for record in records]


def result_bytes(folder):
    """All bytes that a run leaves and that must not depend on its interruptions."""
    last = max((folder / "checkpoints").glob("step_*"))
    files = sorted([*last.rglob("*"), *(folder / "model").rglob("*")])
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if path.is_file()}
