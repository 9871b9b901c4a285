"""Episodes of worlds as files: what is written is what happened."""

import numpy as np
import pytest

pytest.importorskip("gymnasium")

import gymnasium

from vjepa.data.readers.open import open_video
from vjepa.data.trajectories.collect import POLICIES, RandomPolicy, collect
from vjepa.environments.gym_env import GymEnv, _flat
from vjepa.environments.make import make_env


def images_of(path):
    with open_video(str(path)) as video:
        return video.get_frames(range(len(video))).permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("name", ["two_rooms", "two_rooms_random", "point_mass", "pushing"])
def test_states_follow_from_actions_and_images_show_them(name, tmp_path):
    env = make_env(name, 4, 32, 12, ends=False, anywhere=True)
    collect(tmp_path, env, POLICIES["mixed"], episodes=6, steps=12, seed=0)
    assert len(list(tmp_path.glob("*.mp4"))) == 6
    for number in range(6):
        with np.load(tmp_path / f"{number:06d}.npz") as episode:
            actions, states = episode["actions"], episode["states"]
        assert actions.shape == (12, 2)
        assert states.shape == (12, 4)
        assert np.abs(actions[:-1]).max() <= 1
        assert not actions[-1].any()
        following = env.advance(states[:-1].astype(float), actions[:-1].astype(float))
        np.testing.assert_allclose(following, states[1:], atol=1e-4)
        seen = images_of(tmp_path / f"{number:06d}.mp4").astype(float)
        assert np.abs(seen - env.image(states.astype(float))).mean() < 3


def test_the_same_seed_writes_the_same_bytes_and_what_is_there_is_kept(tmp_path):
    def written(folder, seed, episodes=3):
        collect(
            tmp_path / folder, make_env("point_mass", 2, 16, 6, ends=False), POLICIES["random"],
            episodes=episodes, steps=6, seed=seed,
        )  # fmt: skip
        return {path.name: path.read_bytes() for path in (tmp_path / folder).glob("0*")}

    first = written("a", 0)
    assert written("b", 0) == first
    assert written("c", 1) != first
    (tmp_path / "a" / "000001.npz").unlink()
    assert written("a", 0) == first
    with pytest.raises(ValueError, match="holds other episodes"):
        written("a", 1)
    with pytest.raises(ValueError, match="holds other episodes"):
        collect(
            tmp_path / "a", make_env("point_mass", 2, 16, 6, ends=False), POLICIES["scripted"],
            episodes=3, steps=6, seed=0,
        )  # fmt: skip


def test_scripted_episodes_get_somewhere(tmp_path):
    """More than walks do: half of them go through the door."""

    def crossings(policy):
        env = make_env("two_rooms", 30, 16, 41, ends=False)
        folder = collect(tmp_path / policy, env, POLICIES[policy], episodes=30, steps=40, seed=0)
        sides = [np.load(path)["states"][:, 0] < 0.5 for path in folder.glob("*.npz")]
        return np.mean([(side != side[0]).any() for side in sides])

    assert crossings("scripted") > 0.9
    assert crossings("random") < 0.8


class Line(gymnasium.Env):
    """A point on a line, drawn as a bright column."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012
    observation_space = gymnasium.spaces.Dict(
        {"x": gymnasium.spaces.Box(-3, 3, (1,)), "mission": gymnasium.spaces.Text(20)}
    )

    def __init__(self, render_mode, numbered=False):
        self.render_mode, self.numbered = render_mode, numbered
        self.action_space = gymnasium.spaces.Discrete(3) if numbered else gymnasium.spaces.Box(-2, 2, (1,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x = self.np_random.uniform(-0.5, 0.5)
        return self.seen(), {}

    def seen(self):
        return {"x": np.array([self.x], dtype=np.float32), "mission": "go to the right"}

    def step(self, action):
        self.x += 0.1 * (int(action) - 1 if self.numbered else float(action[0]))
        return self.seen(), 0.0, abs(self.x) > 1, False, {}

    def render(self):
        image = np.zeros((20, 40, 3), np.uint8)
        image[:, int(np.clip(20 * (self.x + 1), 0, 39))] = 255
        return image


gymnasium.register("vjepa-test/Line-v0", entry_point=Line)


@pytest.mark.parametrize("numbered", [False, True])
def test_any_environment_that_draws_is_a_world(numbered, tmp_path):
    env = GymEnv("vjepa-test/Line-v0", 3, 32, numbered=numbered)
    assert env.single_action_space.shape == ((3,) if numbered else (1,))
    image, info = env.reset(seed=0)
    assert image.shape == (3, 32, 32, 3)
    assert info["state"].shape == (3, 1)
    action = np.tile([0.0, 0.2, 0.9] if numbered else [1.0], (3, 1))
    _, _, _, _, after = env.step(action)
    np.testing.assert_allclose(after["state"], info["state"] + 0.1, atol=1e-6)
    for _ in range(20):
        _, _, ended, _, last = env.step(action)
    assert (last["state"] > 1).all()
    assert not ended.any()  # they have ended before, and stand still
    folder = collect(tmp_path, env, RandomPolicy, episodes=3, steps=30, seed=0)
    for path in folder.glob("*.npz"):
        with np.load(path) as episode:
            assert len(episode["actions"]) == len(images_of(path.with_suffix(".mp4")))
            assert (np.abs(episode["states"][:-1]) <= 1).all()
    with pytest.raises(ValueError, match="no scripted policy"):
        collect(tmp_path / "other", env, POLICIES["scripted"], episodes=1, steps=5, seed=0)


def test_bad_arguments_are_refused(tmp_path):
    env = make_env("point_mass", 2, 16)
    with pytest.raises(ValueError, match="episodes is 0 and steps 5"):
        collect(tmp_path, env, RandomPolicy, episodes=0, steps=5, seed=0)
    gym = GymEnv("vjepa-test/Line-v0", 2, 16)
    gym.reset(seed=0)
    with pytest.raises(ValueError, match="finite numbers of shape"):
        gym.step(np.full((2, 1), np.nan))


def test_states_are_the_numbers_of_an_observation_and_whole_numbers_are_rounded():
    np.testing.assert_array_equal(_flat(("text", {"b": 2, "a": np.array([[1.5, True]])}, None)), [1.5, 1, 2])
    env = GymEnv("vjepa-test/Line-v0", 1, 16)
    env._given = gymnasium.spaces.Box(0, 4, (1,), dtype=np.int64)
    assert [env._native(np.array([x])).item() for x in (-1.0, 0.4, 3.9, 9.0)] == [0, 0, 4, 4]
