"""Planning with a model: what is asked of it, what it costs, and whom it is compared with."""

import numpy as np
import pytest
import torch

pytest.importorskip("gymnasium")

from tests.models.builders import make_model
from vjepa.data.trajectories.window import WindowConfig
from vjepa.environments.make import make_env
from vjepa.models.action_model import Imagined
from vjepa.models.inverse_dynamics import InverseDynamics
from vjepa.planning.agent import PlanningAgent, environment_actions, model_bounds
from vjepa.planning.cem import CEM
from vjepa.planning.episodes import run_episodes
from vjepa.planning.goals import EmbeddingGoal, InverseGoal, ValueGoal, image_goal, over_steps
from vjepa.planning.planner import Bounds
from vjepa.planning.policies import CopyLast, ModelPolicy, Oracle, RandomActions, env_bounds

BOUNDS = Bounds(-torch.ones(2), torch.ones(2))
PLANNER = CEM(samples=64, elites=8, iterations=4, noise_exponent=1.0)


class Truth:
    """Stands in for a model of a plane.

    A frame's embedding is where its brightest pixel is, actions move it.
    """

    window = 1

    def __init__(self, skip=1, combine="concat"):
        numbers = 2 if combine == "sum" else 2 * skip
        self.dynamics = type("Sizes", (), {"action_size": numbers, "state_size": 0})()
        self.asked = []

    def encode(self, video):
        bright = (video.float().mean(dim=2) - 200).clamp_min(0).flatten(2)  # walls are grey
        weight = bright / bright.sum(dim=-1, keepdim=True).clamp_min(1e-6)
        side = torch.linspace(0.5 / 32, 1 - 0.5 / 32, 32)
        place = torch.stack([side.repeat(32), side.repeat_interleave(32)], dim=-1)
        return (weight @ place).unsqueeze(2)

    def imagine(self, tokens, actions, states=None, next_state=None):
        self.asked.append(len(actions))
        steps = actions[:, tokens.shape[1] - 1 :].unflatten(2, (-1, 2)).sum(dim=2)
        return Imagined((tokens[:, -1, 0].unsqueeze(1) + 0.06 * steps.cumsum(dim=1)).unsqueeze(2), None)


def test_it_walks_to_the_goal_s_image_through_the_door():
    window = WindowConfig(frames=2, skip=2)
    env = make_env("two_rooms", 12, 32, 60, anywhere=True)
    agent = PlanningAgent(Truth(2), PLANNER, window, env_bounds(env), horizon=8, execute=2)
    report = run_episodes(env, ModelPolicy(agent), seed=0)
    same = report.success_e[same_room(env)]
    assert same.all()  # nothing is in the way there, and Truth knows of no walls
    assert (report.steps_e[report.success_e] <= 30).all()
    assert report.images_TeHWC.shape[1:] == (12, 32, 32, 3)


def same_room(env):
    env.reset(seed=0)
    return (env.state_eQ[:, 0] < 0.5) == (env.goal_eQ[:, 0] < 0.5)


def test_all_candidates_of_all_episodes_are_imagined_in_one_call():
    truth = Truth()
    agent = PlanningAgent(truth, PLANNER, WindowConfig(frames=2), BOUNDS, horizon=3)
    agent.begin(EmbeddingGoal(torch.zeros(5, 1, 2)))
    agent.act(torch.zeros(5, 3, 32, 32, dtype=torch.uint8))
    assert truth.asked == [5 * 64] * 4


@torch.no_grad()
def test_plans_are_carried_on_and_made_anew():
    agent = PlanningAgent(Truth(), PLANNER, WindowConfig(frames=2), BOUNDS, horizon=4, execute=2)
    image = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    image[..., 16, 4] = 255
    agent.begin(EmbeddingGoal(torch.tensor([[[0.9, 0.5]]])))
    first = agent.act(image)
    plan = agent.last
    assert torch.equal(first[:, 0], plan.actions_BFA[:, 0])
    assert torch.equal(agent.act(image)[:, 0], plan.actions_BFA[:, 1])
    assert agent.last is plan
    agent.act(image)
    assert agent.last is not plan
    again = PlanningAgent(Truth(), PLANNER, WindowConfig(frames=2), BOUNDS, horizon=4, execute=2)
    again.begin(EmbeddingGoal(torch.tensor([[[0.9, 0.5]]])))
    assert torch.equal(again.act(image), first)


@torch.no_grad()
def test_a_model_that_looks_back_is_given_what_was_seen_and_done():
    model = make_model(window=2)
    window = WindowConfig(frames=3, skip=1)
    bounds = Bounds(-torch.ones(5), torch.ones(5))
    agent = PlanningAgent(model, CEM(samples=8, elites=2, iterations=1), window, bounds, horizon=3)
    images = torch.randint(0, 256, (3, 1, 3, 16, 24), dtype=torch.uint8)
    states = torch.randn(3, 1, 3)
    agent.begin(image_goal(model.encode, images[2]))
    done = [agent.act(image, state)[:, 0] for image, state in zip(images, states, strict=True)]
    candidates = torch.rand(1, 4, 3, 5)
    found = agent.imagine(candidates)[0]
    tokens = model.encode(images[1:].transpose(0, 1)).expand(4, -1, -1, -1)
    actions = torch.cat([done[1].unsqueeze(1).expand(4, -1, -1), candidates[0]], dim=1)
    expected = model.imagine(tokens, actions, states[1:].transpose(0, 1).expand(4, -1, -1))
    torch.testing.assert_close(found, expected.tokens_BFSD)
    plan = agent.imagine(agent.last.actions_BFA[:, None])
    torch.testing.assert_close(agent.imagined_end(), plan[:, 0, -1])


def test_actions_of_model_and_world_are_each_other_s():
    action = torch.arange(12.0).reshape(2, 6)
    concat, added = WindowConfig(frames=2, skip=3), WindowConfig(frames=2, skip=3, combine="sum")
    parts = environment_actions(action, concat)
    assert parts.shape == (2, 3, 2)
    assert torch.equal(torch.from_numpy(concat.combined(parts[0].numpy()))[0], action[0])
    equal = environment_actions(action[:, :2], added)
    torch.testing.assert_close(torch.from_numpy(added.combined(equal[1].numpy()))[0], action[1, :2])
    assert model_bounds(BOUNDS, concat).high_A.tolist() == [1.0] * 6
    assert model_bounds(BOUNDS, added).high_A.tolist() == [3.0, 3.0]


def test_goals_are_images_embeddings_or_values():
    tokens = torch.randn(2, 5, 3, 1, 4)
    wanted = torch.randn(2, 1, 4)
    found = EmbeddingGoal(wanted, "l1")(tokens)
    assert found[1, 4, 2].item() == pytest.approx((tokens[1, 4, 2] - wanted[1]).abs().mean().item(), rel=1e-5)
    value = ValueGoal(lambda frames: frames[:, 0, :1] * 2, torch.tensor([[1.0], [3.0]]))(tokens)
    torch.testing.assert_close(value[1], (2 * tokens[1, :, :, 0, 0] - 3).square())
    assert torch.equal(over_steps(found, 0.0), found[..., -1])
    torch.testing.assert_close(over_steps(found, 1.0), found.mean(dim=-1))
    torch.testing.assert_close(over_steps(found, 0.25), 0.75 * found[..., -1] + 0.25 * found.mean(dim=-1))


def test_whom_it_is_compared_with():
    env = make_env("point_mass", 40, 32, 60)
    rates = {}
    for name, policy in {
        "oracle": Oracle(PLANNER, horizon=8, execute=2, path=1.0, seed=0),
        "random": RandomActions(0),
        "nothing moves": ModelPolicy(
            PlanningAgent(CopyLast(Truth()), PLANNER, WindowConfig(frames=2), BOUNDS, horizon=4)
        ),
    }.items():
        report = run_episodes(env, policy, seed=3)
        rates[name] = report.rate
        low, high = report.interval
        assert low <= report.rate <= high
    assert rates["oracle"] > 0.9
    assert rates["oracle"] > rates["random"] + 0.3
    assert rates["oracle"] > rates["nothing moves"] + 0.3


def test_a_goal_is_reached_whether_or_not_that_ends_the_episode():
    ended, going_on = (
        run_episodes(env, Oracle(PLANNER, horizon=8, execute=2, path=1.0, seed=0), seed=3)
        for env in (make_env("two_rooms", 6, 16, 40, ends=ends) for ends in (True, False))
    )
    assert ended.success_e.any()
    assert np.array_equal(ended.success_e, going_on.success_e)
    assert np.array_equal(ended.steps_e, going_on.steps_e)


def test_the_same_seed_gives_the_same_episodes():
    def episodes(seed):
        return run_episodes(make_env("two_rooms", 5, 16, 10), RandomActions(seed), seed).images_TeHWC

    assert np.array_equal(episodes(1), episodes(1))
    assert not np.array_equal(episodes(1), episodes(2))


def test_what_does_not_fit_is_refused():
    model = make_model()
    bounds = Bounds(-torch.ones(2), torch.ones(2))
    with pytest.raises(
        ValueError, match=r"actions have 2 numbers, 2 of them \(concat\) make 4, and the model .* 5"
    ):
        PlanningAgent(model, PLANNER, WindowConfig(frames=2, skip=2), bounds, horizon=3)
    with pytest.raises(ValueError, match="horizon is 2 and execute 3"):
        PlanningAgent(Truth(), PLANNER, WindowConfig(frames=2), bounds, horizon=2, execute=3)
    with pytest.raises(ValueError, match=r"frames have \(32, 32\) pixels and this model knows \(16, 24\)"):
        image_goal(model.encode, torch.zeros(1, 3, 32, 32, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"goal's embedding has shape \(1, 2, 4\)"):
        EmbeddingGoal(torch.zeros(1, 2, 4))(torch.zeros(1, 3, 2, 1, 4))
    with pytest.raises(ValueError, match="call begin first"):
        PlanningAgent(Truth(), PLANNER, WindowConfig(frames=2), bounds, horizon=2).act(
            torch.zeros(1, 3, 32, 32)
        )


def test_what_is_left_to_do_is_a_cost():
    """Inverse dynamics of the change reads the whole way, and nothing that does not move."""
    inverse = InverseDynamics(3, 2, "change")
    with torch.no_grad():
        inverse.net.weight.copy_(torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
        inverse.net.bias.zero_()
    goal = torch.tensor([[[4.0, -2.0, 100.0]]])
    frames = torch.tensor([[1.0, 1.0, -7.0], [4.0, -2.0, 3.0]]).reshape(1, 1, 2, 1, 3)
    torch.testing.assert_close(InverseGoal(inverse, goal)(frames), torch.tensor([[[9.0, 0.0]]]))


def test_an_agent_without_a_goal_or_a_look_says_what_to_call():
    env = make_env("two_rooms", 2, 32, 10)
    agent = PlanningAgent(Truth(), PLANNER, WindowConfig(frames=3), env_bounds(env), horizon=2)
    assert agent.last is None
    candidates = torch.zeros(2, 1, 2, 2)
    for call in (
        lambda: agent.imagine(candidates),
        agent.imagined_end,
        lambda: agent.act(torch.zeros(2, 3, 32, 32)),
    ):
        with pytest.raises(ValueError, match="call begin first"):
            call()
    agent.begin(lambda tokens: tokens.sum(dim=(-2, -1)))
    with pytest.raises(ValueError, match="call act first"):
        agent.imagine(candidates)
