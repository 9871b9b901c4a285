import dataclasses
import math

import pytest
import torch

from vjepa.evaluation.collapse_alarm import Cause, CollapseAlarm

HEALTHY = {"relative_update": 0.006, "target_lag": 0.1}
FALLING = [0.1, 0.3, 0.3, 0.29, 0.05, 0.04, 0.03, 0.03]


def alarms_of(values, further, cures=None):
    """The alarms of a run whose targets have these standard deviations."""
    alarm = CollapseAlarm()
    found = [alarm.update({"context/std": 0.3, "target/std": value, **further}, cures) for value in values]
    return [each for each in found if each is not None]


def test_the_alarm_rings_once_on_a_relative_fall():
    (alarm,) = alarms_of(FALLING, {"target/cosine": 0.9})
    assert "target/std fell to" in alarm.message


def test_a_healthy_run_stays_silent():
    alarm = CollapseAlarm()
    torch.manual_seed(0)
    for step in range(300):
        rank, std = 20 + 10 * torch.rand(1).item(), 0.3 + 0.1 * math.sin(step / 20)
        assert alarm.update({"context/std": std, "context/rank": rank, **HEALTHY}) is None


def test_embeddings_that_never_differed_ring_at_once():
    alarm = CollapseAlarm()
    found = alarm.update({"target/std": 0.0, "target/rank": 1.0, "context/std": 0.2})
    assert "the same for every clip" in found.message
    assert "The same alarm" not in found.message
    assert found.cause == Cause.CONSTANT_TARGETS.name
    assert alarm.update({"target/std": 0.0, "target/rank": 1.0, "context/std": 0.2}) is None


def test_one_alarm_names_all_measures_that_fell():
    both = CollapseAlarm().update({"target/std": 0.0, "context/std": 0.0})
    assert "The same alarm is raised by context/std." in both.message
    assert both.cause == Cause.EQUAL_CLIPS.name


@pytest.mark.parametrize(
    ("metrics", "cause"),
    [
        ({"relative_update": 0.05, "target_lag": 0.5}, Cause.LARGE_STEPS),
        ({"relative_update": 0.05, "target_lag": 0.0}, Cause.LARGE_STEPS),
        ({"relative_update": 0.006, "target_lag": 0.003}, Cause.FAST_TARGETS),
        ({"relative_update": 0.006, "variance": 0.001, "covariance": 0.0}, Cause.WEAK_REGULARIZER),
        ({**HEALTHY, "sigreg": 0.1}, Cause.WEAK_REGULARIZER),
        (HEALTHY, Cause.UNPROTECTED),
        ({"relative_update": 0.006}, Cause.UNPROTECTED),
    ],
)
def test_the_measures_tell_the_cause(metrics, cause):
    (alarm,) = alarms_of(FALLING, metrics)
    assert alarm.cause == cause.name
    assert cause.value in alarm.message


def test_the_largest_update_of_the_run_counts():
    """When the alarm rings, steps have often become small again."""
    alarm = CollapseAlarm()
    found = [
        alarm.update({"context/std": 0.3, "target/std": value, "relative_update": 0.08 / (number + 1)})
        for number, value in enumerate(FALLING)
    ]
    (ringing,) = filter(None, found)
    assert ringing.cause == Cause.LARGE_STEPS.name


def test_the_alarm_carries_the_cure_of_its_cause():
    cures = {
        Cause.FAST_TARGETS: {"objective.momentum": [0.99, 1.0], "objective.teacher": None},
        Cause.LARGE_STEPS: {"optim.lr": 1e-4},
    }
    (alarm,) = alarms_of(FALLING, {"relative_update": 0.006, "target_lag": 0.0}, cures)
    assert alarm.cure == cures[Cause.FAST_TARGETS]
    assert "--objective.momentum [0.99,1] --objective.teacher null" in alarm.message
    (alarm,) = alarms_of(FALLING, HEALTHY, cures)
    assert alarm.cure == {}
    assert "No setting cures this" in alarm.message


def test_a_resumed_alarm_goes_on():
    """What the checkpoint stores is all that the alarm remembers."""
    whole, first = CollapseAlarm(), CollapseAlarm()
    metrics = [{"context/std": 0.3, "target/std": value, **HEALTHY} for value in FALLING]
    expected = [whole.update(each) for each in metrics]
    found = [first.update(each) for each in metrics[:3]]
    second = CollapseAlarm(**dataclasses.asdict(first))
    assert [*found, *map(second.update, metrics[3:])] == expected
