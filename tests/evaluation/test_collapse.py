import math

import pytest
import torch

from vjepa.evaluation.collapse import embedding_measures


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
