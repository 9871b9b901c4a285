"""Positions of hidden objects, read off embeddings that know them, remember them, or do not."""

import numpy as np
import pytest
import torch

from tests.inference.conftest import make_video_model
from vjepa.data.manifest import read_manifest
from vjepa.data.synthetic.settings import RenderSettings
from vjepa.data.synthetic.write import write_videos
from vjepa.evaluation import occlusion
from vjepa.evaluation.future.skill import Embedded
from vjepa.evaluation.occlusion import permanence

SETTINGS = RenderSettings(
    size=16, frames=32, motions=("collide",), objects=(1, 1), radius=(0.1, 0.12), speed=(0.04, 0.06),
    colours="white", texture=0.0, noise=0.0, camera=0.0, wall=0.06, occluder=0.4, occluder_place="shared",
)  # fmt: skip


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hidden")
    return read_manifest(write_videos(folder, SETTINGS, num_videos=40, seed=0))


def factors_of(videos, name):
    return torch.stack([torch.from_numpy(np.load(v.path.replace(".mp4", ".npz"))[name]) for v in videos])


def test_distances_are_those_of_what_the_embeddings_know(videos, monkeypatch):
    """True embeddings hold the position, copies that of the last context step, predictions one beside it."""
    model = make_video_model()  # windows of 8 time steps of 2 frames, 5 of them context
    place_Vt2 = factors_of(videos, "positions")[:, :, 0].unflatten(1, (16, 2)).mean(dim=2)
    windows_Vt2 = place_Vt2.unflatten(1, (2, 8)).flatten(0, 1)
    true_VF2, last_V2 = windows_Vt2[:, 5:], windows_Vt2[:, 4]
    shift = torch.tensor([0.03, 0.04])  # 0.05 long

    def embedded(model, video_VTCHW, window, last):
        assert video_VTCHW.shape[:2] == (80, 16)
        values = [part[..., None, :].expand(*part.shape[:-1], 4, 2).float() for part in
                  (true_VF2, true_VF2 + shift, last_V2)]  # fmt: skip
        return Embedded(*values, None, torch.zeros(80))

    monkeypatch.setattr(occlusion, "embed_clips", embedded)
    found = permanence(model, videos, windows=2)
    assert found.videos == 20
    visible_VF = factors_of(videos, "visible")[:, :, 0].unflatten(1, (2, 8, 2)).mean(dim=3)[:, :, 5:]
    hidden = (visible_VF < 0.1)[1::2].flatten(0, 1)
    moved = (true_VF2 - last_V2[:, None]).norm(dim=-1).unflatten(0, (-1, 2))[1::2].flatten(0, 1)
    assert hidden.sum() > 20
    assert found.hidden["true"].value == pytest.approx(0, abs=5e-3)
    assert found.hidden["predicted"].value == pytest.approx(0.05, abs=5e-3)
    assert found.hidden["copy"].value == pytest.approx(moved[hidden].mean().item(), abs=5e-3)
    assert found.hidden["copy"].low < found.hidden["copy"].value < found.hidden["copy"].high
    assert found.seen["predicted"].value == pytest.approx(0.05, abs=5e-3)


def test_videos_in_which_nothing_is_hidden_are_refused(videos):
    with pytest.raises(ValueError, match=r"hidden, or seen, at a predicted time step of \d of 7 videos"):
        permanence(make_video_model(), videos[:14])
