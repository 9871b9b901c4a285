"""The claim of the README: what is learnt without labels beats what an untrained encoder gives."""

import pytest
from accelerate.state import AcceleratorState, GradientState, PartialState

from vjepa.config import read_config
from vjepa.training.pretrain import pretrain


@pytest.mark.slow
def test_the_quickstart_learns_motion(tmp_path):
    """Some seven minutes on two cores."""
    summary = pretrain(
        read_config(
            [
                "--config=configs/pretrain/quickstart.yaml",
                f"--output_dir={tmp_path / 'run'}",
                f"--data.synthetic.folder={tmp_path / 'videos'}",
                f"--data.cache_dir={tmp_path / 'cache'}",
                "--train.trackers=[]",
            ]
        )
    )
    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()
    probe = summary["probe"]["linear"]
    assert probe["trained"] > probe["random"] + 0.1
    assert summary["alarms"] == []
