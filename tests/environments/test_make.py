"""The embedded worlds: what moves, what holds, what is seen, and how fast."""

import time

import numpy as np
import pytest

pytest.importorskip("gymnasium")

from vjepa.environments.point_mass import PointMass
from vjepa.environments.pushing import BLOCK, HAND, Pushing
from vjepa.environments.two_rooms import RADIUS, WALL, TwoRooms

WORLDS = {
    "two_rooms": TwoRooms,
    "two_rooms_random": lambda *a, **k: TwoRooms(*a, wall="random", **k),
    "point_mass": PointMass,
    "pushing": Pushing,
}
EVERY = pytest.mark.parametrize("make", WORLDS.values(), ids=WORLDS)


@EVERY
def test_the_same_seed_gives_the_same_episodes(make):
    def episode(seed):
        env = make(5, 32)
        image, info = env.reset(seed=seed)
        rng = np.random.default_rng(0)
        steps = [env.step(rng.uniform(-1, 1, (5, 2))) for _ in range(10)]
        return image, info["goal_image"], *[step[0] for step in steps], steps[-1][4]["state"]

    first, again, other = episode(3), episode(3), episode(4)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[-1], other[-1])


@EVERY
def test_what_the_api_promises(make):
    env = make(4, 24, max_steps=3)
    image, _ = env.reset(seed=0)
    assert env.observation_space.contains(image)
    rewards, ended = np.zeros(4), np.zeros(4, dtype=bool)
    for _ in range(5):
        image, reward, reached, late, info = env.step(np.zeros((4, 2)))
        assert not (ended & (reached | late)).any()  # an episode ends once
        ended |= reached | late
        rewards += reward
    assert ended.all()
    assert env.observation_space.contains(image)
    np.testing.assert_array_equal(image, env.image(info["state"]))


@EVERY
def test_a_goal_is_reached_where_it_is(make):
    env = make(6, 32)
    env.reset(seed=1)
    env.set_state(env.goal_eQ)
    _, reward, reached, late, _ = env.step(np.zeros((6, 2)))
    assert reached.all()
    assert reward.sum() == 6
    assert not late.any()
    assert (env.distance(env.goal_eQ, env.goal_eQ) < 1e-9).all()
    np.testing.assert_array_equal(env.image(env.goal_eQ), env.image(env.state_eQ))


@EVERY
def test_copies_do_not_meddle(make):
    rng = np.random.default_rng(0)
    env = make(8, 16)
    env.reset(seed=0)
    state, action = env.state_eQ.copy(), rng.uniform(-1, 1, (8, 2))
    together = env.advance(state, action)
    alone = np.concatenate([env.advance(state[[row]], action[[row]]) for row in range(8)])
    np.testing.assert_allclose(together, alone)


def test_the_wall_is_crossed_at_the_door_alone():
    env = TwoRooms(2, 64)
    right = np.tile([1.0, 0.0], (2, 1))
    state = np.array([[0.3, 0.5, 0.5, 0.5], [0.3, 0.8, 0.5, 0.5]])
    for _ in range(10):
        state = env.advance(state, right)
    assert state[0, 0] > 0.6
    assert state[1, 0] <= 0.5 - WALL / 2 - RADIUS + 1e-9


@pytest.mark.parametrize("wall", ["fixed", "random"])
def test_nothing_ever_ends_up_in_a_wall(wall):
    env, rng = TwoRooms(200, 16, wall=wall), np.random.default_rng(0)
    env.reset(seed=0)
    state, crossed = env.state_eQ, np.zeros(200, dtype=bool)
    side = state[:, 0] < state[:, 2]
    for _ in range(60):
        state = env.advance(state, rng.uniform(-1, 1, (200, 2)))
        assert not env._blocked(state[:, :2], state[:, 2:]).any()
        crossed |= (state[:, 0] < state[:, 2]) != side
    assert 0 < crossed.sum() < 200
    starts, goals = env.goal_eQ[:, 0] < env.goal_eQ[:, 2], side
    assert (starts != goals).all()  # the way leads through the door
    for _ in range(20):  # goals that a scripted policy draws on its way are in the same rooms
        goals = env.draw_goals(rng)
        assert not env._blocked(goals[:, :2], env.state_eQ[:, 2:]).any()
        assert np.array_equal(goals[:, 2:], env.state_eQ[:, 2:])


def test_a_mass_goes_on_and_must_be_slowed():
    env = PointMass(1)
    state = np.array([[0.2, 0.5, 0.0, 0.0]])
    for _ in range(5):
        state = env.advance(state, np.array([[1.0, 0.0]]))
    gone = state[0, 0]
    state = env.advance(state, np.zeros((1, 2)))
    assert state[0, 0] > gone + 0.02
    moving = np.array([[0.5, 0.5, 0.05, 0.0]])
    assert not env.reached(moving, np.array([[0.5, 0.5, 0.0, 0.0]])).any()
    assert np.array_equal(env.image(moving), env.image(moving * [1, 1, 0, 0]))


def test_a_block_is_pushed_and_never_pulled():
    env = Pushing(1)
    state = np.array([[0.3, 0.5, 0.5, 0.5]])
    for _ in range(4):
        state = env.advance(state, np.array([[1.0, 0.0]]))
    assert state[0, 2] > 0.6
    assert state[0, 3] == pytest.approx(0.5)
    pushed = state[0, 2]
    for _ in range(4):
        state = env.advance(state, np.array([[-1.0, 0.0]]))
    assert state[0, 2] == pushed
    rng, many = np.random.default_rng(0), Pushing(100)
    many.reset(seed=0)
    state = many.state_eQ
    for _ in range(40):
        state = many.advance(state, rng.uniform(-1, 1, (100, 2)))
        gap = np.hypot(*(state[:, :2] - state[:, 2:]).T)
        assert (gap > HAND + BLOCK - 1e-6).mean() > 0.98  # in a corner there may be no room
        assert ((state >= HAND - 1e-9) & (state <= 1 - HAND + 1e-9)).all()


@EVERY
def test_thousands_of_steps_a_second(make):
    env = make(64, 64)
    env.reset(seed=0)
    actions = np.random.default_rng(0).uniform(-1, 1, (64, 2))
    env.step(actions)
    started = time.perf_counter()
    for _ in range(10):
        env.set_state(env.state_eQ)
        env.step(actions)
    assert 640 / (time.perf_counter() - started) > 400  # far below a quiet core's


def test_bad_input_is_refused():
    env = PointMass(3)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"actions have shape \(3, 3\): give \(3, 2\)"):
        env.step(np.zeros((3, 3)))
    with pytest.raises(ValueError, match="not finite"):
        env.step(np.full((3, 2), np.nan))
    with pytest.raises(ValueError, match=r"goal has shape \(3, 2\)"):
        env.set_state(np.zeros((3, 4)), np.zeros((3, 2)))
    with pytest.raises(ValueError, match="wall is 'none'"):
        TwoRooms(wall="none")
    with pytest.raises(ValueError, match="num_envs is 0"):
        Pushing(0)
