"""Act by planning with a world model: look, imagine, take the first actions of the best plan, look again.

Shape letters as in `vjepa.tokens`; B episodes side by side, R candidates, H steps of a plan, T frames looked back on, S tokens of a
frame, A numbers of a model's action, N of the environment's; Q numbers of a state.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from vjepa.data.trajectories.windows import WindowConfig
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
        actions_BXA: Tensor,
        states_BTQ: Tensor | None = None,
        next_state: NextState | None = None,
    ) -> Imagined:
        """As `ActionModel.imagine`."""
        ...


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
                f"actions have {len(bounds.low_A)} numbers, {window.skip} of them ({window.combine}) make {len(self.bounds.low_A)}, "
                f"and the model was trained on {model.dynamics.action_size}: give the environment and the window that it knows"
            )
        self.horizon = horizon
        self.execute = execute
        self.path = path
        self.next_state = next_state
        self.seed = seed
        self.last: Plan | None = None
        self._goal: Goal | None = None

    def begin(self, goal: Goal) -> None:
        """Start B new episodes with a goal for each."""
        self._goal = goal
        self._generator = torch.Generator(self.bounds.low_A.device).manual_seed(self.seed)
        self._seen: list[Tensor] = []  # tokens (B, S, D) of the frames looked back on
        self._states: list[Tensor] = []
        self._done: list[Tensor] = []  # actions (B, A) between them
        self._doing: Tensor | None = None  # since the last of them
        self.last, self._taken = None, 0

    @torch.no_grad()
    def act(self, image_BCHW: Tensor, state_BQ: Tensor | None = None) -> Tensor:
        """Look at uint8 images; the next `window.skip` actions of the environment, ``(B, skip, N)``."""
        if self._goal is None:
            raise ValueError("there is no goal yet: call begin first")
        if self._doing is not None:
            self._done.append(self._doing)
        self._seen.append(self.model.encode(image_BCHW.unsqueeze(1))[:, 0])
        if state_BQ is not None:
            self._states.append(state_BQ)
        if self.last is None or self._taken == self.execute:
            self._plan(self._goal)
        assert self.last is not None
        self._doing = self.last.actions_BHA[:, self._taken]
        self._taken += 1
        kept = self.model.window
        self._seen, self._states, self._done = self._seen[-kept:], self._states[-kept:], self._done[-kept:]
        return environment_actions(self._doing, self.window)

    @torch.no_grad()
    def imagined_end(self) -> Tensor:
        """Where what is left of the plan leads from the frame that was seen last, ``(B, S, D)``."""
        if self.last is None:
            raise ValueError("there is no plan yet: call act first")
        return self.imagine(self.last.actions_BHA[:, None, self._taken - 1 :])[:, 0, -1]

    def _plan(self, goal: Goal) -> None:
        start_BHA = self._start()
        self.last = self.planner.plan(lambda x: self._cost(goal, x), start_BHA, self.bounds, self._generator)
        self._taken = 0

    def _start(self) -> Tensor:
        """What is left of the last plan; the middle of the bounds where there is none."""
        if self.last is None:
            return self.bounds.centre_A.expand(len(self._seen[-1]), self.horizon, -1)
        return self.last.shifted(self._taken, self.bounds)

    def imagine(self, candidates_BRHA: Tensor) -> Tensor:
        """What candidates lead to, ``(B, R, H, S, D)``."""
        count, horizon = candidates_BRHA.shape[1:3]
        recent = self._seen[-self.model.window :]
        done = self._done[-(len(recent) - 1) :] if len(recent) > 1 else []
        before = [action_BA[:, None, None].expand(-1, count, 1, -1) for action_BA in done]
        actions_XYA = torch.cat([*before, candidates_BRHA], dim=2).flatten(0, 1)
        tokens_XTSD = torch.stack(recent, dim=1).repeat_interleave(count, dim=0)
        states = None
        if self.model.dynamics.state_size:
            if not self._states:
                raise ValueError("this model takes states: give them to act")
            states = torch.stack(self._states[-len(recent) :], dim=1).repeat_interleave(count, dim=0)
        imagined = self.model.imagine(tokens_XTSD, actions_XYA, states, self.next_state)
        return imagined.tokens_BHSD.unflatten(0, (-1, count))[:, :, -horizon:]

    def _cost(self, goal: Goal, candidates_BRHA: Tensor) -> Tensor:
        return over_steps(goal(self.imagine(candidates_BRHA)), self.path)


def model_bounds(bounds: Bounds, window: WindowConfig) -> Bounds:
    """Bounds of the model's actions from those of the environment's."""
    ends = (bounds.low_A, bounds.high_A)
    if window.combine == "sum":
        low_A, high_A = (window.skip * end for end in ends)
    else:
        low_A, high_A = (end.repeat(window.skip) for end in ends)
    return Bounds(low_A, high_A)


def environment_actions(action_BA: Tensor, window: WindowConfig) -> Tensor:
    """One action of the model as `skip` of the environment, ``(B, skip, N)``; a sum is taken in equal parts."""
    if window.combine == "sum":
        return (action_BA / window.skip).unsqueeze(1).expand(-1, window.skip, -1)
    return action_BA.unflatten(1, (window.skip, -1))
