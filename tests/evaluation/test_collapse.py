import math

import pytest
import torch

from vjepa.evaluation.collapse import CollapseAlarm, embedding_measures


def test_measures_of_isotropic_embeddings():
    torch.manual_seed(0)
    measures = embedding_measures(torch.randn(4000, 16))
    assert measures["std"] == pytest.approx(1, abs=0.02)
    assert measures["rank"] == pytest.approx(16, abs=0.1)
    assert measures["cosine"] == pytest.approx(0, abs=0.01)


def test_measures_of_one_direction():
    """Samples on a line: one dimension, however large they are."""
    embedding = torch.randn(200, 1) * torch.ones(1, 16)
    assert embedding_measures(embedding)["rank"] == pytest.approx(1, abs=0.01)


def test_measures_of_constants():
    measures = embedding_measures(torch.ones(8, 16))
    assert measures["std"] == 0
    assert measures["cosine"] == pytest.approx(1)
    assert all(math.isfinite(value) for value in measures.values())


def test_a_common_offset_changes_cosine_only():
    torch.manual_seed(0)
    embedding = torch.randn(500, 16)
    near, far = embedding_measures(embedding), embedding_measures(embedding + 10)
    assert far["std"] == pytest.approx(near["std"], rel=1e-4)
    assert far["rank"] == pytest.approx(near["rank"], rel=1e-3)
    assert far["cosine"] > 0.9


def test_one_sample_has_no_measures():
    assert embedding_measures(torch.randn(1, 16)) == {}


def test_the_alarm_rings_once_on_a_relative_fall():
    alarm = CollapseAlarm()
    values = [0.1, 0.3, 0.3, 0.29, 0.05, 0.04, 0.03, 0.03]
    messages = [alarm.update({"target/std": value, "target/cosine": 0.9}) for value in values]
    assert sum(message is not None for message in messages) == 1
    (message,) = filter(None, messages)
    assert "target/std" in message
    assert "objective.momentum" in message


def test_a_healthy_run_stays_silent():
    alarm = CollapseAlarm()
    torch.manual_seed(0)
    for step in range(300):
        rank, std = 20 + 10 * torch.rand(1).item(), 0.3 + 0.1 * math.sin(step / 20)
        assert alarm.update({"context/std": std, "context/rank": rank}) is None


def test_embeddings_that_never_differed_ring_at_once():
    alarm = CollapseAlarm()
    message = alarm.update({"target/std": 0.0, "target/rank": 1.0, "context/std": 0.2})
    assert "the same for every clip" in message
    assert "The same alarm" not in message
    assert alarm.update({"target/std": 0.0, "target/rank": 1.0, "context/std": 0.2}) is None
    both = CollapseAlarm().update({"target/std": 0.0, "context/std": 0.0})
    assert both.endswith("The same alarm is raised by context/std.")
