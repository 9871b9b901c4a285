"""Metrics of imagined steps.

A model that knows everything, one that knows nothing, one that does not listen.
"""

import numpy as np
import pytest
import torch

from vjepa.data.trajectories.episode import Episode
from vjepa.data.trajectories.window import WindowConfig
from vjepa.evaluation.future.imagination import measure_imagination
from vjepa.evaluation.probes import frame_decoder
from vjepa.evaluation.probes import state as state_probe
from vjepa.evaluation.probes.state import fit_state_probe
from vjepa.models.action_model import Imagined
from vjepa.plots.imagination import energy_landscape


class Places:
    """Frames whose pixels are the place of a walker, 100 steps to either side."""

    path = "walk"

    def __init__(self, place_TQ):
        self.place_TQ = place_TQ

    def read(self, index_K, damage=None):
        frames = torch.from_numpy(128 + 100 * self.place_TQ[index_K]).round().to(torch.uint8)
        return frames[:, :, None, None].expand(-1, -1, 4, 4)


def walks(count=40, length=12, seed=0):
    rng = np.random.default_rng(seed)
    episodes = []
    for _ in range(count):
        actions = rng.uniform(-0.1, 0.1, (length, 3)).astype(np.float32)
        places = np.cumsum(np.concatenate([rng.uniform(-0.3, 0.3, (1, 3)), actions[:-1]]), axis=0).clip(-1, 1)
        episodes.append(Episode(Places(places), actions, places.astype(np.float32)))
    return episodes


class Walker(torch.nn.Module):
    """Embeds a frame as its place, and adds a share of each action."""

    window = 1

    def __init__(self, listens=1.0):
        super().__init__()
        self.listens = listens
        self.nothing = torch.nn.Parameter(torch.zeros(1))
        self.dynamics = type("Sizes", (), {"state_size": 0})()

    def encode(self, video_BTCHW):
        return ((video_BTCHW[..., 0, 0].float() - 128) / 100).unsqueeze(2)

    def imagine(self, tokens, actions, states=None, next_state=None):
        moved = self.listens * actions[:, tokens.shape[1] - 1 :].cumsum(dim=1)
        return Imagined(tokens[:, -1:] + moved.unsqueeze(2), None)


BASELINES = ("copy_error", "permuted_error")


def metrics(model):
    return measure_imagination(model, walks(), WindowConfig(frames=6), lambda video: video)


def test_a_model_that_knows_is_told_from_one_that_does_not():
    knows, deaf = metrics(Walker()), metrics(Walker(listens=0.0))
    assert knows.windows == 280
    assert max(error.high for error in knows.error) < 0.01
    assert min(error.low for error in knows.permuted_error) > 10 * max(error.high for error in knows.error)
    mean = {name: [each.value for each in getattr(deaf, name)] for name in ("error", *BASELINES)}
    assert mean["error"] == pytest.approx(mean["copy_error"])
    assert mean["error"] == pytest.approx(mean["permuted_error"])
    assert [each.value for each in knows.copy_error] == pytest.approx(mean["copy_error"])
    assert sorted(mean["error"]) == mean["error"]  # the further ahead, the worse
    for each in deaf.error:  # drawn again, 40 episodes differ by more than nothing and less than all
        assert 0.7 * each.value < each.low < each.value < each.high < 1.3 * each.value
    assert min(knows.state_r2) > 0.98
    assert min(knows.true_state_r2) > 0.98
    assert deaf.state_r2[-1] < deaf.state_r2[0] < knows.state_r2[0]
    assert "other actions" in knows.table()
    assert set(knows.to_json()) >= {"error", "permuted_error", "state_r2"}


def test_energy_is_least_at_the_action_that_was_taken():
    start, taken = torch.tensor([[[0.2, 0.1, 0.0]], [[0.0, 0.0, 0.0]]]), torch.tensor([0.05, -0.03, 0.02])
    grid = torch.cartesian_prod(*[torch.linspace(-0.1, 0.1, 21)] * 2)
    actions = torch.cat([grid, taken[2:].expand(len(grid), 1)], dim=1)
    done = torch.tensor([[9.0, 9.0, 9.0]])  # before the last frame, which shows what came of it
    energy = energy_landscape(Walker(), start, done, start[-1] + taken, actions)
    torch.testing.assert_close(actions[energy.argmin()], taken, atol=1e-4, rtol=0)
    assert energy.shape == (441,)


class Seer(torch.nn.Module):
    """Embeds a frame as one token, the place of its bright square."""

    pool, size, space = "flatten", (16, 16), (1, 1)

    def __init__(self):
        super().__init__()
        self.nothing = torch.nn.Parameter(torch.zeros(1))

    def encode(self, video_BTCHW):
        light = video_BTCHW.float().mean(dim=2)
        side = torch.arange(16.0)
        whole = light.sum(dim=(2, 3))
        places = [(light.sum(dim=axis) @ side) / whole for axis in (2, 3)]
        return torch.stack(places, dim=-1).unsqueeze(2) / 8 - 1


def squares(count, seed):
    rng = np.random.default_rng(seed)
    plots = torch.zeros(count, 3, 16, 16, dtype=torch.uint8)
    for plot, (row, column) in zip(plots, rng.integers(0, 12, (count, 2)), strict=True):
        plot[:, row : row + 4, column : column + 4] = 255
    return plots


def test_a_small_thing_that_moves_is_decoded_where_it_is(monkeypatch):
    monkeypatch.setattr(frame_decoder, "STEPS", 400)
    seen, new = squares(400, seed=0), squares(50, seed=1)
    before = torch.random.get_rng_state()
    decode = frame_decoder.fit_frame_decoder(Seer(), seen, seed=0)
    assert torch.equal(torch.random.get_rng_state(), before)
    shown = decode(Seer().encode(new.unsqueeze(1))[:, 0])
    assert shown.dtype == torch.uint8
    error = (shown.float() - new.float()).square().mean()
    of_the_mean = (seen.float().mean(dim=0) - new.float()).square().mean()
    assert error < 0.4 * of_the_mean


def test_a_probe_reads_how_things_stand(monkeypatch):
    monkeypatch.setattr(state_probe, "STEPS", 300)
    read = fit_state_probe(Walker(), walks(60), lambda video: video, [2, 0], seed=0)
    place = torch.tensor([[0.3, -0.2, 0.1], [-0.4, 0.5, -0.25]])
    torch.testing.assert_close(read(place.unsqueeze(1)), place[:, [2, 0]], atol=0.06, rtol=0)
    with pytest.raises(ValueError, match="the episodes have none"):
        fit_state_probe(
            Walker(), [Episode(Places(place.numpy()), place.numpy())], lambda video: video, [0], 0
        )


def test_states_that_have_nothing_to_do_with_the_frames_are_not_read():
    """Windows of an episode overlap: a regression that was fitted on some would know frames of others."""
    window = WindowConfig(frames=6)
    rng = np.random.default_rng(0)
    episodes = [
        Episode(Noise(rng.integers(0, 256, (20, 3, 4, 4), dtype=np.uint8)), np.zeros((20, 3), np.float32),
                rng.standard_normal((20, 2)).astype(np.float32))
        for _ in range(6)
    ]  # fmt: skip
    report = measure_imagination(Whole(), episodes, window, lambda frames: frames, seed=0)
    assert max(report.true_state_r2) < 0.1
    alone = measure_imagination(Whole(), episodes[:1], window, lambda frames: frames, seed=0)
    assert (alone.state_r2, alone.true_state_r2) == (None, None)
    with pytest.raises(ValueError, match="one window alone"):
        measure_imagination(Whole(), episodes[:1], WindowConfig(frames=20), lambda frames: frames, seed=0)


class Noise:
    """Frames that are given."""

    path = "noise"

    def __init__(self, frames_TCHW):
        self.frames_TCHW = frames_TCHW

    def read(self, index_K, damage=None):
        return torch.from_numpy(self.frames_TCHW[index_K])


class Whole(Walker):
    """Embeds a frame as all of its pixels, and imagines that nothing moves."""

    def encode(self, video_BTCHW):
        return video_BTCHW.flatten(2).float().unsqueeze(2)

    def imagine(self, tokens, actions, states=None, next_state=None):
        return Imagined(tokens[:, -1:].expand(-1, actions.shape[1] - tokens.shape[1] + 1, -1, -1), None)


def test_states_that_do_not_differ_have_no_r2():
    report = measure_imagination(
        Walker(), walks(count=2, length=6), WindowConfig(frames=6), lambda video: video
    )
    assert report.windows == 2
    assert report.state_r2 is None
