"""Receding-horizon control: observe, plan with a model, take the first actions of the plan, observe again."""

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
    """Interface of the model that an agent plans with: an `ActionModel` or a substitute for one."""

    @property
    def dynamics(self) -> ActionPredictor:
        """Predictor of the next frames; the agent reads its sizes of actions and states."""
        ...

    @property
    def window(self) -> int:
        """Largest number of past frames in the predictor's input."""
        ...

    def encode(self, video_BTCHW: Tensor) -> Tensor:
        """See `ActionModel.encode`."""
        ...

    def imagine(
        self,
        tokens_BTSD: Tensor,
        actions_BIA: Tensor,
        states_BTQ: Tensor | None = None,
        next_state: NextState | None = None,
    ) -> Imagined:
        """See `ActionModel.imagine`."""
        ...


@dataclass
class _Episodes:
    """Recent observations and actions of B running episodes, and the plan that they follow.

    Attributes:
        goal: Cost of imagined frames.
        generator: Source of the planner's random numbers.
        seen: Tokens ``(B, S, D)`` of the latest frames, at most as many as the model's window.
        states: States ``(B, Q)`` at these frames; empty for a model without states.
        done: Actions ``(B, A)`` between these frames.
        plan: Plan that is being carried out; None before the first.
        taken: Number of steps of the plan that have been taken.
    """

    goal: Goal
    generator: torch.Generator
    seen: list[Tensor] = field(default_factory=list)
    states: list[Tensor] = field(default_factory=list)
    done: list[Tensor] = field(default_factory=list)
    plan: Plan | None = None
    taken: int = 0

    def look(self, tokens_BSD: Tensor, state_BQ: Tensor | None, window: int) -> None:
        """Add the frame that followed the last action; forget frames older than `window` frames."""
        if self.plan is not None:
            self.done.append(self.plan.actions_BFA[:, self.taken - 1])
        self.seen.append(tokens_BSD)
        if state_BQ is not None:
            self.states.append(state_BQ)
        del self.seen[:-window], self.states[:-window]
        del self.done[: len(self.done) - (len(self.seen) - 1)]

    def follow(self, plan: Plan) -> None:
        """Start to carry out a new plan."""
        self.plan, self.taken = plan, 0

    def take(self) -> Tensor:
        """Return the next action of the plan, ``(B, A)``."""
        assert self.plan is not None
        self.taken += 1
        return self.plan.actions_BFA[:, self.taken - 1]


class PlanningAgent:
    """Receding-horizon control of B episodes at once.

    One step of a plan is one step of the model and `window.skip` steps of the environment.

    Args:
        model: Model in evaluation mode.
        planner: Planner from `vjepa.planning`. Each plan is warm-started with the unused steps of the last.
        window: Training windows of the model; they define how its actions combine those of the environment.
        bounds: Bounds of the environment's actions, on the model's device.
        horizon: Number of steps of a plan.
        execute: Number of steps of a plan that are taken before the next plan is made, from 1 to `horizon`.
        path: Weight of the mean distance over all steps in a plan's cost, in [0, 1]; the distance at the last
            step has the rest (see `over_steps`).
        next_state: Known kinematics, which give a model with states the states that follow from actions. None
            lets the model predict them.
        seed: Random seed of the planner.

    Raises:
        ValueError: `execute` is not from 1 to `horizon`, or the combined actions have another size than the
            model's.
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
                f"horizon is {horizon} and execute {execute}: give an execute from 1 to the horizon"
            )
        self.model = model
        self.planner = planner
        self.window = window
        self.bounds = model_bounds(bounds, window)
        if len(self.bounds.low_A) != model.dynamics.action_size:
            raise ValueError(
                f"actions have {len(bounds.low_A)} numbers, {window.skip} of them ({window.combine}) make "
                f"{len(self.bounds.low_A)}, and the model was trained on {model.dynamics.action_size}: give "
                "the environment and the window that it was trained with"
            )
        self.horizon = horizon
        self.execute = execute
        self.path = path
        self.next_state = next_state
        self.seed = seed
        self._episodes: _Episodes | None = None

    @property
    def last(self) -> Plan | None:
        """Plan that is being carried out; None before the first `act` of the episodes."""
        return None if self._episodes is None else self._episodes.plan

    @property
    def _running(self) -> _Episodes:
        if self._episodes is None:
            raise ValueError("there is no goal yet: call begin first")
        return self._episodes

    def begin(self, goal: Goal) -> None:
        """Start new episodes, with a goal that holds B of them."""
        generator = torch.Generator(self.bounds.low_A.device).manual_seed(self.seed)
        self._episodes = _Episodes(goal, generator)

    @torch.no_grad()
    def act(self, image_BCHW: Tensor, state_BQ: Tensor | None = None) -> Tensor:
        """Observe images and return the next actions of the environment, ``(B, I, A)``; I is `window.skip`.

        Args:
            image_BCHW: Current image of each episode, uint8.
            state_BQ: Current state of each episode, for a model with states.

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
        """Return tokens ``(B, S, D)`` of the frame that the model imagines at the end of the current plan.

        Raises:
            ValueError: `begin` or `act` was not called yet.
        """
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
        """Return the unused steps of the last plan, or the middle of the bounds before the first plan."""
        if episodes.plan is None:
            return self.bounds.centre_A.expand(len(episodes.seen[-1]), self.horizon, -1)
        return episodes.plan.shifted(episodes.taken, self.bounds)

    def imagine(self, candidates_BsFA: Tensor) -> Tensor:
        """Return the imagined frames that candidate plans lead to, ``(B, s, F, S, D)``.

        Args:
            candidates_BsFA: Actions of the model for each candidate plan.

        Raises:
            ValueError: No frame has been observed yet, or the model takes states and `act` got none.
        """
        episodes, (count, horizon) = self._running, candidates_BsFA.shape[1:3]
        if not episodes.seen:
            raise ValueError("no frame has been observed yet: call act first")
        before = [action_BA[:, None, None].expand(-1, count, 1, -1) for action_BA in episodes.done]
        actions_sIA = torch.cat([*before, candidates_BsFA], dim=2).flatten(0, 1)
        tokens_sTSD = torch.stack(episodes.seen, dim=1).repeat_interleave(count, dim=0)
        states_sTQ = None
        if self.model.dynamics.state_size:
            if not episodes.states:
                raise ValueError("this model takes states: give them to act")
            states_sTQ = torch.stack(episodes.states, dim=1).repeat_interleave(count, dim=0)
        imagined = self.model.imagine(tokens_sTSD, actions_sIA, states_sTQ, self.next_state)
        return imagined.tokens_BFSD.unflatten(0, (-1, count))[:, :, -horizon:]

    def _cost(self, goal: Goal, candidates_BsFA: Tensor) -> Tensor:
        return over_steps(goal(self.imagine(candidates_BsFA)), self.path)


def model_bounds(bounds: Bounds, window: WindowConfig) -> Bounds:
    """Return the bounds of the model's actions, which combine `window.skip` actions of the environment."""
    ends = (bounds.low_A, bounds.high_A)
    if window.combine == "sum":
        low_A, high_A = (window.skip * end for end in ends)
    else:
        low_A, high_A = (end.repeat(window.skip) for end in ends)
    return Bounds(low_A, high_A)


def environment_actions(action_BA: Tensor, window: WindowConfig) -> Tensor:
    """Split actions of the model into `window.skip` actions of the environment, ``(B, I, A)``.

    A summed action is split into equal actions.
    """
    if window.combine == "sum":
        return (action_BA / window.skip).unsqueeze(1).expand(-1, window.skip, -1)
    return action_BA.unflatten(1, (window.skip, -1))
