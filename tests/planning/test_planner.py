"""Planners reach the optimum of known costs, within bounds, for several problems at once, by the seed
alone.
"""

import pytest
import torch

import vjepa.planning
from tests.package_classes import public_classes
from vjepa.planning.cem import CEM
from vjepa.planning.gradient import GradientPlanner
from vjepa.planning.mppi import MPPI
from vjepa.planning.planner import Bounds, Planner, coloured_noise, evaluate

BATCH, HORIZON = 3, 4
BOUNDS = Bounds(torch.tensor([-1.0, 0.0]), torch.tensor([1.0, 10.0]))
START = BOUNDS.centre_A.expand(BATCH, HORIZON, 2)
TARGET = torch.rand(BATCH, HORIZON, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor(
    [1.6, 8.0]
) - torch.tensor([0.8, -1.0])

PLANNERS = {
    "cem": CEM(samples=400, elites=20, iterations=30),
    "icem": CEM(samples=400, elites=20, iterations=30, noise_exponent=1.0, kept=5),
    "mppi": MPPI(samples=400, iterations=30),
    "gradient": GradientPlanner(steps=300),
}
EVERY = pytest.mark.parametrize("planner", PLANNERS.values(), ids=PLANNERS)


def quadratic(target):
    """Each problem has an optimum of its own.

    The second number of an action has a range ten times as wide.
    """
    return lambda actions: ((actions - target[:, None]) / BOUNDS.half_A).square().sum(dim=(-2, -1))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_every_planner_is_here():
    """A new planner joins this contract, or this test fails."""
    found = {kind for kind in public_classes(vjepa.planning) if hasattr(kind, "plan")} - {Planner}
    assert found == {type(planner) for planner in PLANNERS.values()}


@EVERY
def test_the_optimum_of_a_quadratic_is_reached(planner):
    plan = planner.plan(quadratic(TARGET), START, BOUNDS, seeded())
    assert ((plan.actions_BFA - TARGET) / BOUNDS.half_A).abs().max() < 0.08
    torch.testing.assert_close(plan.cost_B, quadratic(TARGET)(plan.actions_BFA[:, None])[:, 0])


@EVERY
def test_an_optimum_outside_the_bounds_is_met_at_them(planner):
    outside = torch.tensor([3.0, -5.0]).expand(BATCH, HORIZON, 2)
    plan = planner.plan(quadratic(outside), START, BOUNDS, seeded())
    assert (plan.actions_BFA >= BOUNDS.low_A).all()
    assert (plan.actions_BFA <= BOUNDS.high_A).all()
    assert ((plan.actions_BFA - torch.tensor([1.0, 0.0])) / BOUNDS.half_A).abs().max() < 0.1


@EVERY
def test_a_seed_decides_and_problems_do_not_meddle(planner):
    plan, again, other = (planner.plan(quadratic(TARGET), START, BOUNDS, seeded(s)) for s in (0, 0, 1))
    assert torch.equal(plan.actions_BFA, again.actions_BFA)
    assert not torch.equal(plan.actions_BFA, other.actions_BFA)
    moved = TARGET.clone()
    moved[1] = -moved[1].clamp(max=0.5)
    changed = planner.plan(quadratic(moved), START, BOUNDS, seeded())
    assert torch.equal(changed.actions_BFA[0], plan.actions_BFA[0])


@pytest.mark.parametrize(
    ("planner", "calls"), [(CEM(iterations=7), 7), (MPPI(iterations=7), 8)], ids=["cem", "mppi"]
)
def test_all_candidates_of_a_round_are_one_call(planner, calls):
    asked = []

    def counted(actions):
        asked.append(actions.shape[1])
        return quadratic(TARGET)(actions)

    planner.plan(counted, START, BOUNDS, seeded())
    assert len(asked) == calls
    assert asked[0] == planner.samples


@EVERY
def test_a_warm_start_is_not_lost(planner):
    """Few rounds from the optimum stay there; from the middle they do not reach it."""
    few = type(planner)(
        **({"steps": 3} if isinstance(planner, GradientPlanner) else {"iterations": 2, "deviation": 0.05})
    )
    warm = few.plan(quadratic(TARGET), TARGET, BOUNDS, seeded())
    cold = few.plan(quadratic(TARGET), START, BOUNDS, seeded())
    assert (warm.cost_B < 0.1).all()
    assert (warm.cost_B < cold.cost_B).all()
    shifted = warm.shifted(1, BOUNDS)
    assert torch.equal(shifted[:, :-1], warm.actions_BFA[:, 1:])
    assert torch.equal(shifted[:, -1], BOUNDS.centre_A.expand(BATCH, -1))


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("steps", [6, 7])
def test_noise_has_deviation_one_and_slow_waves(exponent, steps):
    noise = coloured_noise((20, 500, steps, 2), exponent, seeded(), torch.device("cpu"))
    assert noise.std().item() == pytest.approx(1, abs=0.02)
    assert noise.mean().item() == pytest.approx(0, abs=0.02)
    neighbours = (noise[:, :, 1:] * noise[:, :, :-1]).mean().item()
    assert neighbours == pytest.approx(0, abs=0.02) if exponent == 0 else neighbours > 0.25


def test_a_plan_by_gradients_gives_the_model_s_weights_none():
    model = torch.nn.Linear(2, 1)
    GradientPlanner(steps=3).plan(lambda actions: model(actions).sum(dim=(-2, -1)), START, BOUNDS, seeded())
    assert [parameter.grad for parameter in model.parameters()] == [None, None]


@pytest.mark.parametrize("planner", [PLANNERS["cem"], PLANNERS["mppi"]], ids=["cem", "mppi"])
def test_candidates_that_are_forbidden_cost_infinitely_much(planner):
    """The optimum is at the edge of what is allowed."""
    allowed = BOUNDS.centre_A + 0.3 * BOUNDS.half_A

    def cost(actions):
        free = quadratic(BOUNDS.high_A.expand(BATCH, HORIZON, 2))(actions)
        return free.masked_fill((actions > allowed).flatten(2).any(dim=2), torch.inf)

    plan = planner.plan(cost, START, BOUNDS, seeded())
    assert plan.cost_B.isfinite().all()
    assert (plan.actions_BFA <= allowed).all()
    assert (plan.cost_B < cost(START[:, None])[:, 0]).all()
    with pytest.raises(ValueError, match="all candidates is infinite"):
        MPPI().plan(lambda actions: torch.full(actions.shape[:2], torch.inf), START, BOUNDS, seeded())


def test_what_cannot_be_planned_is_refused():
    with pytest.raises(ValueError, match=r"noise_exponent is -1\.0 and least_deviation 0\.01: give 0"):
        CEM(noise_exponent=-1.0)
    with pytest.raises(ValueError, match="more samples than elites"):
        CEM(samples=10, elites=10)
    with pytest.raises(ValueError, match=r"momentum is 1\.0"):
        CEM(momentum=1.0)
    with pytest.raises(ValueError, match=r"temperature is 0"):
        MPPI(temperature=0.0)
    with pytest.raises(ValueError, match=r"learning rate 0"):
        GradientPlanner(lr=0.0)
    for refused in (
        lambda: CEM(deviation=float("nan")),
        lambda: CEM(samples=3, elites=2, kept=2),  # with the mean, no candidate would be new
        lambda: MPPI(temperature=float("nan")),
        lambda: GradientPlanner(deviation=float("nan")),
        lambda: GradientPlanner(deviation=-1.0),
    ):
        with pytest.raises(ValueError, match=r"deviation|kept is 2|temperature"):
            refused()
    with pytest.raises(ValueError, match="a low and a higher end"):
        Bounds(torch.zeros(2), torch.zeros(2))
    with pytest.raises(ValueError, match="finite ends"):
        Bounds(torch.zeros(1), torch.tensor([torch.inf]))
    with pytest.raises(ValueError, match=r"shape \(3,\) for candidates"):
        evaluate(lambda actions: actions.sum(dim=(1, 2, 3)), START[:, None])
    with pytest.raises(ValueError, match="is NaN"):
        evaluate(lambda actions: actions.sum(dim=(2, 3)) * torch.nan, START[:, None])
