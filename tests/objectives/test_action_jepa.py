"""The losses of a world model with actions, against loops written anew."""

import pytest
import torch
from torch.nn import functional as F

from tests.models.builders import A, Q, make_model
from vjepa.batch import TrajectoryBatch
from vjepa.models.inverse_dynamics import InverseDynamics
from vjepa.objectives.action_jepa import ActionJEPA, RollOut
from vjepa.objectives.regularizers import VICReg

FRAMES = 5


def batch(seed=0, tokens=None):
    generator = torch.Generator().manual_seed(seed)
    video = torch.randint(0, 256, (3, FRAMES, 3, 16, 24), dtype=torch.uint8, generator=generator)
    actions = torch.randn(3, FRAMES - 1, A, generator=generator)
    states = torch.randn(3, FRAMES, Q, generator=generator)
    return TrajectoryBatch(video if tokens is None else tokens, actions, states, ("",) * 3)


def parts_of(model, given):
    """Tokens, and standardised actions and states."""
    return model.encode(given.inputs), (given.actions_BIA - 1) / 2, (given.states_BTQ + 1) / 3


def test_teacher_forcing_predicts_each_frame_from_the_true_ones_before_it():
    model, given = make_model(window=8), batch()
    outputs = ActionJEPA(model=model, frozen=True, distance="l1")(given)
    z, a, s = parts_of(model, given)
    errors, state_errors = [], []
    for time in range(FRAMES - 1):
        following = model.dynamics(z[:, : time + 1], a[:, : time + 1], s[:, : time + 1], model.space)
        errors.append((following.tokens_BTSD[:, -1] - z[:, time + 1]).abs().mean())
        state_errors.append((following.states_BTQ[:, -1] - s[:, time + 1]).square().mean())
    expected = torch.stack(errors).mean()
    torch.testing.assert_close(outputs["prediction"], expected)
    torch.testing.assert_close(outputs["state"], torch.stack(state_errors).mean())
    torch.testing.assert_close(outputs["loss"], outputs["prediction"] + outputs["state"])


@pytest.mark.parametrize("imagined", [True, False])
@pytest.mark.parametrize("steps", [2, 4])
def test_a_rollout_goes_on_from_what_was_imagined(steps, imagined):
    """V-JEPA 2-AC: [h1, z1], then [h1, z1, z2], ...; states true, or imagined too."""
    model, given = make_model(window=8), batch()
    outputs = ActionJEPA(model=model, frozen=True, distance="l1", rollout=RollOut(steps, imagined))(given)
    z, a, s = parts_of(model, given)
    path, known = z[:, :1], s[:, :1]
    for step in range(steps):
        following = model.dynamics(path, a[:, : step + 1], known, model.space)
        path = torch.cat([path, following.tokens_BTSD[:, -1:]], dim=1)
        next_state = following.states_BTQ[:, -1:] if imagined else s[:, step + 1 : step + 2]
        known = torch.cat([known, next_state], dim=1)
    expected = (path[:, 1:] - z[:, 1 : steps + 1]).abs().mean()
    torch.testing.assert_close(outputs["rollout"], expected, atol=1e-5, rtol=1e-5)


def test_what_an_encoder_that_learns_is_asked_for():
    model, given = make_model(window=8, pool="flatten", pool_dim=12, inverse="pair"), batch()
    objective = ActionJEPA(
        model=model,
        frozen=False,
        regularizers=[VICReg(2.0, 0.5)],
        smoothness=3.0,
        inverse=0.5,
    )
    outputs = objective(given)
    z, a, _ = parts_of(model, given)
    torch.testing.assert_close(outputs["smoothness"], 3 * (z[:, 1:] - z[:, :-1]).square().mean())
    pairs = torch.cat([z[:, :-1, 0], z[:, 1:, 0]], dim=-1)
    torch.testing.assert_close(outputs["inverse"], 0.5 * F.mse_loss(model.inverse.net(pairs), a))
    expected = VICReg(2.0, 0.5)(z.flatten(1, 2), (), 0)
    for name, value in expected.items():
        torch.testing.assert_close(outputs[name], value)
    outputs["loss"].backward()
    for name, parameter in objective.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0 or name.startswith("model.dynamics.state_proj"), name


def test_actions_may_be_read_from_the_change_alone():
    z = torch.randn(2, 4, 2, 3)
    inverse = InverseDynamics(6, A, "change")
    change = (z[:, 1:] - z[:, :-1]).flatten(2)
    found = inverse(z[:, :-1], z[:, 1:])
    torch.testing.assert_close(found, change @ inverse.net.weight.T + inverse.net.bias)
    steps, bias = found - inverse.net.bias, inverse.net.bias
    torch.testing.assert_close(inverse(z[:, 0], z[:, 3]) - bias, steps.sum(dim=1))  # differences add up
    with pytest.raises(ValueError, match="the model has no inverse dynamics"):
        ActionJEPA(model=make_model(), frozen=True, inverse=1.0)
    with pytest.raises(ValueError, match="neither collapses nor becomes smoother"):
        ActionJEPA(model=make_model(), frozen=True, smoothness=1.0)
    with pytest.raises(ValueError, match="give fewer steps, or longer windows"):
        ActionJEPA(model=make_model(window=8), frozen=True, rollout=RollOut(20, True))(batch())
    with pytest.raises(ValueError, match="the model has an inverse dynamics"):
        ActionJEPA(model=make_model(inverse="change"), frozen=True)


def test_a_frozen_encoder_gets_no_gradient_and_drops_nothing():
    objective = ActionJEPA(model=make_model(window=8), frozen=True, rollout=RollOut(2, True)).train()
    objective(batch())["loss"].backward()
    assert all(parameter.grad is None for parameter in objective.model.encoder.parameters())
    assert all(parameter.grad is not None for parameter in objective.model.dynamics.parameters())
    assert not objective.model.encoder.training


def test_tokens_from_the_disk_are_as_good_as_frames():
    model, given = make_model(window=8, normalised=True), batch()
    objective = ActionJEPA(model=model, frozen=True, rollout=RollOut(2, True))
    with torch.no_grad():
        cached = objective(batch(tokens=model.encode(given.inputs)))
        live = objective(given)
    for name, value in live.items():
        if isinstance(value, torch.Tensor):
            torch.testing.assert_close(cached[name], value)
