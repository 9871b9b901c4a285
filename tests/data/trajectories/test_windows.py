"""Windows of trajectories: frames, the actions between them, and statistics."""

import numpy as np
import pytest
import torch

from vjepa.data.sampling import SampleKey
from vjepa.data.trajectories.episode import Episode
from vjepa.data.trajectories.open import read_episodes
from vjepa.data.trajectories.window import WindowConfig
from vjepa.data.trajectories.windows import TrajectoryDataset, action_statistics, collate_trajectories


class Counted:
    """Frame number n of an episode is full of n."""

    def __init__(self, name):
        self.path = name

    def read(self, index_K, damage=None):
        return torch.from_numpy(index_K.astype(np.uint8))[:, None, None, None].expand(-1, 3, 4, 4)


def make(lengths=(9, 7), seed=0, states=True):
    rng = np.random.default_rng(seed)
    return [
        Episode(
            Counted(f"episode {number}"),
            rng.normal(size=(length, 2)).astype(np.float32),
            rng.normal(size=(length, 3)).astype(np.float32) if states else None,
        )
        for number, length in enumerate(lengths)
    ]


@pytest.mark.parametrize("combine", ["concat", "sum"])
@pytest.mark.parametrize("skip", [1, 3])
def test_every_window_is_there_once_with_what_was_done_in_it(combine, skip):
    episodes, window = make(), WindowConfig(frames=3, skip=skip, combine=combine)
    dataset = TrajectoryDataset(episodes, window, lambda video: video + 100)
    wanted = [(number, start) for number, length in enumerate((9, 7)) for start in range(length - 2 * skip)]
    assert len(dataset) == len(wanted)
    for row, (number, start) in enumerate(wanted):
        sample = dataset[SampleKey(serial=row, index=row, step=5)]
        frames = [start, start + skip, start + 2 * skip]
        assert (sample.inputs[:, 0, 0, 0] - 100).tolist() == frames
        for step, frame in enumerate(frames[:-1]):
            done = episodes[number].actions_TA[frame : frame + skip]
            expected = done.sum(axis=0) if combine == "sum" else np.concatenate(list(done))
            np.testing.assert_allclose(sample.actions_IA[step].numpy(), expected, rtol=1e-6)
        np.testing.assert_array_equal(sample.states_TQ.numpy(), episodes[number].states_TQ[frames])
        assert sample.path == f"episode {number}"
    batch = collate_trajectories([dataset[SampleKey(0, row, 5)] for row in range(3)])
    assert batch.inputs.shape == (3, 3, 3, 4, 4)
    assert batch.actions_BIA.shape == (3, 2, window.action_size(2))
    assert batch.states_BTQ.shape == (3, 3, 3)
    assert batch.step == 5


@pytest.mark.parametrize("combine", ["concat", "sum"])
def test_statistics_are_those_of_all_combined_actions(combine):
    episodes, window = make(), WindowConfig(frames=2, skip=2, combine=combine)
    found = action_statistics(episodes, window)
    pairs = []
    for episode in episodes:
        for start in range(len(episode) - 2):
            first, second = episode.actions_TA[start], episode.actions_TA[start + 1]
            pairs.append(first + second if combine == "sum" else np.concatenate([first, second]))
    np.testing.assert_allclose(found["action_mean"], np.mean(pairs, axis=0), atol=1e-6)
    np.testing.assert_allclose(found["action_std"], np.std(pairs, axis=0), atol=1e-6)
    states = np.concatenate([episode.states_TQ for episode in episodes])
    np.testing.assert_allclose(found["state_std"], states.std(axis=0), atol=1e-6)
    still = [Episode(Counted("x"), np.ones((5, 2), np.float32))]
    assert action_statistics(still, WindowConfig(frames=2))["action_std"] == [1.0, 1.0]
    assert "state_mean" not in action_statistics(still, WindowConfig(frames=2))


def test_short_episodes_and_impossible_windows_are_refused():
    with pytest.raises(
        ValueError,
        match=r"1 of 2 episodes are shorter than a window, which spans 9 frames \(3 with a skip of 4\)",
    ):
        TrajectoryDataset(make(), WindowConfig(frames=3, skip=4), lambda video: video)
    with pytest.raises(ValueError, match="1 of 2 episodes are shorter than a window"):
        action_statistics(make(), WindowConfig(frames=3, skip=4))
    with pytest.raises(ValueError, match="there are no episodes"):
        TrajectoryDataset([], WindowConfig(), lambda video: video)
    with pytest.raises(ValueError, match=r"window\.frames is 1"):
        WindowConfig(frames=1)
    with pytest.raises(ValueError, match="give episodes of one kind"):
        TrajectoryDataset([make()[0], make(states=False)[1]], WindowConfig(frames=2), lambda video: video)


def test_a_video_that_cannot_be_read_is_replaced_and_told(tmp_path):
    for number in range(3):
        np.save(tmp_path / f"{number}.npy", np.full((6 if number else 3, 8, 8, 3), number, np.uint8))
        np.savez(tmp_path / f"{number}.npz", actions=np.zeros((6, 1), np.float32))
    dataset = TrajectoryDataset(
        read_episodes(str(tmp_path)), WindowConfig(frames=2, skip=2), lambda video: video
    )
    assert dataset[SampleKey(0, 0, 0)].inputs.shape == (2, 3, 8, 8)  # frames 0 and 2 are there
    sample = dataset[SampleKey(0, 3, 0)]  # frames 3 and 5 are not: the video is shorter than its actions
    assert sample.path.endswith("1.npy")
    ((path, cause),) = sample.failures
    assert path.endswith("0.npy")
    assert "it has 3 frames, and actions for 6 or more" in cause
    for number in (1, 2):
        (tmp_path / f"{number}.npy").write_bytes(b"no array")
    with pytest.raises(ValueError, match="none of the 3 episodes can be read"):
        dataset[SampleKey(0, 3, 0)]


class Marked(Counted):
    """Frames of a file whose decoder marks some as corrupt."""

    def read(self, index_K, damage=None):
        damage.append("1 frame is marked as corrupt")
        return super().read(index_K)


def test_damage_of_a_file_travels_with_its_windows():
    episodes = make()
    damaged = Episode(Marked("torn.mp4"), episodes[0].actions_TA, episodes[0].states_TQ)
    dataset = TrajectoryDataset([damaged, episodes[1]], WindowConfig(frames=3), lambda video: video)
    rows = (0, len(dataset) - 1)
    batch = collate_trajectories([dataset[SampleKey(serial=row, index=row, step=0)] for row in rows])
    assert batch.damaged == (("torn.mp4", "1 frame is marked as corrupt"),)
    assert batch.failures == ()
