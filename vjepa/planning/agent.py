"""Act by planning with a world model: look, imagine, take the first actions of the best plan, look again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from vjepa.data.trajectories.window import WindowConfig
from vjepa.models.action_model import Imagined, NextState
from vjepa.models.action_predictor import ActionPredictor
from vjepa.planning.goals import Goal, over_steps
from vjepa.planning.planner import Bounds, Plan, Planner


class Imagines(Protocol):
    """What an agent asks of a model: an `ActionModel`, or what stands in for one."""

    @property
    def dynamics(self) -> ActionPredictor:
        """For the sizes of actions and states."""
        ...

    @property
    def window(self) -> int:
        """Frames looked back on."""
        ...

    def encode(self, video_BTCHW: Tensor) -> Tensor:
        """As `ActionModel.encode`."""
        ...

    def imagine(
        self,
        tokens_BTSD: Tensor,
        actions_BIA: Tensor,
        states_BTQ: Tensor | None = None,
        next_state: NextState | None = None,
    ) -> Imagined:
        """As `ActionModel.imagine`."""
        ...


@dataclass
class _Episodes:
    """B episodes while they run: what was seen and done, and the plan that is being carried out.

    Attributes:
        goal: Cost of imagined frames.
        generator: Random numbers of the planner.
        seen: Tokens ``(B, S, D)`` of the frames looked back on, at most the model's window.
        states: States ``(B, Q)`` at these frames, for a model that takes them.
        done: Actions ``(B, A)`` between these frames.
        plan: The plan that is being carried out; None before the first.
        taken: Steps of the plan that have been taken.
    """

    goal: Goal
    generator: torch.Generator
    seen: list[Tensor] = field(default_factory=list)
    states: list[Tensor] = field(default_factory=list)
    done: list[Tensor] = field(default_factory=list)
    plan: Plan | None = None
    taken: int = 0

    def look(self, tokens_BSD: Tensor, state_BQ: Tensor | None, window: int) -> None:
        """A new frame, after the action that was taken last.

        Older frames than the model's window are forgotten.
        """
        if self.plan is not None:
            self.done.append(self.plan.actions_BFA[:, self.taken - 1])
        self.seen.append(tokens_BSD)
        if state_BQ is not None:
            self.states.append(state_BQ)
        del self.seen[:-window], self.states[:-window]
        del self.done[: len(self.done) - (len(self.seen) - 1)]

    def follow(self, plan: Plan) -> None:
        """Carry out a new plan from its first step on."""
        self.plan, self.taken = plan, 0

    def take(self) -> Tensor:
        """The next action of the plan, ``(B, A)``."""
        assert self.plan is not None
        self.taken += 1
        return self.plan.actions_BFA[:, self.taken - 1]


class PlanningAgent:
    """Receding-horizon control of B episodes at once.

    Each of a plan's steps is one step of the model, and `window.skip` of the environment.

    Args:
        model: in evaluation mode.
        planner: any of `vjepa.planning`; it is warm-started with what is left of the last plan.
        window: how the model's actions are made of the environment's.
        bounds: of the environment's actions, on the model's device.
        horizon: steps of a plan.
        execute: of them that are taken before planning anew.
        path: share of the whole path in a plan's cost, the rest is the last step's (`over_steps`).
        next_state: of a model with states, how they follow from actions where that is known.
        seed: of the planner's chance.
    """

    def __init__(
        self,
        model: Imagines,
        planner: Planner,
        window: WindowConfig,
        bounds: Bounds,
        *,
        horizon: int,
        execute: int = 1,
        path: float = 0.0,
        next_state: NextState | None = None,
        seed: int = 0,
    ) -> None:
        if not 1 <= execute <= horizon:
            raise ValueError(
                f"horizon is {horizon} and execute {execute}: give 1 or more, and no more than the horizon"
            )
        self.model = model
        self.planner = planner
        self.window = window
        self.bounds = model_bounds(bounds, window)
        if len(self.bounds.low_A) != model.dynamics.action_size:
            raise ValueError(
                f"actions have {len(bounds.low_A)} numbers, {window.skip} of them ({window.combine}) make "
                f"{len(self.bounds.low_A)}, "
                f"and the model was trained on {model.dynamics.action_size}: give the environment and the "
                "window that it knows"
            )
        self.horizon = horizon
        self.execute = execute
        self.path = path
        self.next_state = next_state
        self.seed = seed
        self._episodes: _Episodes | None = None

    @property
    def last(self) -> Plan | None:
        """The plan that is being carried out; None before the first `act` of the episodes."""
        return None if self._episodes is None else self._episodes.plan

    @property
    def _running(self) -> _Episodes:
        if self._episodes is None:
            raise ValueError("there is no goal yet: call begin first")
        return self._episodes

    def begin(self, goal: Goal) -> None:
        """Start B new episodes with a goal for each."""
        generator = torch.Generator(self.bounds.low_A.device).manual_seed(self.seed)
        self._episodes = _Episodes(goal, generator)

    @torch.no_grad()
    def act(self, image_BCHW: Tensor, state_BQ: Tensor | None = None) -> Tensor:
        """Look at uint8 images; the next `window.skip` actions of the environment, ``(B, skip, A)``.

        Raises:
            ValueError: `begin` was not called, or the model takes states and none are given.
        """
        episodes = self._running
        episodes.look(self.model.encode(image_BCHW.unsqueeze(1))[:, 0], state_BQ, self.model.window)
        if episodes.plan is None or episodes.taken == self.execute:
            episodes.follow(self._plan(episodes))
        return environment_actions(episodes.take(), self.window)

    @torch.no_grad()
    def imagined_end(self) -> Tensor:
        """Where what is left of the plan leads from the frame that was seen last, ``(B, S, D)``."""
        episodes = self._running
        if episodes.plan is None:
            raise ValueError("there is no plan yet: call act first")
        return self.imagine(episodes.plan.actions_BFA[:, None, episodes.taken - 1 :])[:, 0, -1]

    def _plan(self, episodes: _Episodes) -> Plan:
        return self.planner.plan(
            lambda candidates_BsFA: self._cost(episodes.goal, candidates_BsFA),
            self._start(episodes),
            self.bounds,
            episodes.generator,
        )

    def _start(self, episodes: _Episodes) -> Tensor:
        """What is left of the last plan; the middle of the bounds where there is none."""
        if episodes.plan is None:
            return self.bounds.centre_A.expand(len(episodes.seen[-1]), self.horizon, -1)
        return episodes.plan.shifted(episodes.taken, self.bounds)

    def imagine(self, candidates_BsFA: Tensor) -> Tensor:
        """What candidate plans lead to, ``(B, s, F, S, D)``.

        Raises:
            ValueError: nothing has been seen yet, or the model takes states and `act` got none.
        """
        episodes, (count, horizon) = self._running, candidates_BsFA.shape[1:3]
        if not episodes.seen:
            raise ValueError("nothing has been seen yet: call act first")
        before = [action_BA[:, None, None].expand(-1, count, 1, -1) for action_BA in episodes.done]
        actions_VIA = torch.cat([*before, candidates_BsFA], dim=2).flatten(0, 1)
        tokens_VTSD = torch.stack(episodes.seen, dim=1).repeat_interleave(count, dim=0)
        states_VTQ = None
        if self.model.dynamics.state_size:
            if not episodes.states:
                raise ValueError("this model takes states: give them to act")
            states_VTQ = torch.stack(episodes.states, dim=1).repeat_interleave(count, dim=0)
        imagined = self.model.imagine(tokens_VTSD, actions_VIA, states_VTQ, self.next_state)
        return imagined.tokens_BFSD.unflatten(0, (-1, count))[:, :, -horizon:]

    def _cost(self, goal: Goal, candidates_BsFA: Tensor) -> Tensor:
        return over_steps(goal(self.imagine(candidates_BsFA)), self.path)


def model_bounds(bounds: Bounds, window: WindowConfig) -> Bounds:
    """Bounds of the model's actions from those of the environment's."""
    ends = (bounds.low_A, bounds.high_A)
    if window.combine == "sum":
        low_A, high_A = (window.skip * end for end in ends)
    else:
        low_A, high_A = (end.repeat(window.skip) for end in ends)
    return Bounds(low_A, high_A)


def environment_actions(action_BA: Tensor, window: WindowConfig) -> Tensor:
    """One action of the model as `skip` of the environment, ``(B, skip, N)``.

    A sum is taken in equal parts.
    """
    if window.combine == "sum":
        return (action_BA / window.skip).unsqueeze(1).expand(-1, window.skip, -1)
    return action_BA.unflatten(1, (window.skip, -1))
