"""Batches made by Ray actors are those of torch's DataLoader, in the same order."""

import sys

import pytest
import torch
from torch.utils.data import DataLoader

from vjepa.data.ray_loader import RayLoader
from vjepa.data.sampling import SampleOrder, StepBatches


class Squares:
    """A data set that is indexed by sample keys, and has one row that cannot be read."""

    def __init__(self, broken=None):
        self.broken = broken

    def __getitem__(self, key):
        if key.serial == self.broken:
            raise LookupError(f"sample {key.serial} is broken")
        return torch.tensor([key.serial**2, key.index, key.step])


def sampler(steps):
    return StepBatches(SampleOrder([10], None, 0), 4, 2, 0, 1, 3, 3 + steps)


@pytest.fixture(scope="module")
def cluster():
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.mark.slow
def test_batches_are_those_of_torch_in_order(cluster):
    expected = list(DataLoader(Squares(), batch_sampler=sampler(20), collate_fn=torch.stack))
    assert len(expected) == 40
    made = list(RayLoader(Squares(), torch.stack, sampler(20), 2))
    assert torch.equal(torch.stack(made), torch.stack(expected))


@pytest.mark.slow
def test_an_error_of_the_data_set_is_raised_as_it_is(cluster):
    loader = RayLoader(Squares(broken=17), torch.stack, sampler(5), 1)
    with pytest.raises(LookupError, match="sample 17 is broken"):
        list(loader)


@pytest.mark.slow
def test_an_iteration_that_is_left_early_frees_its_actors(cluster):
    for _ in range(3):  # the cluster has two CPUs: an iteration would wait for ever for those of another
        batches = iter(RayLoader(Squares(), torch.stack, sampler(20), 2))
        next(batches)
        batches.close()


def test_without_ray_or_without_a_cluster_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match="pip install ray"):
        RayLoader(Squares(), torch.stack, sampler(1), 1)
    with pytest.raises(ValueError, match=r"data.num_workers is 0: Ray needs at least 1"):
        RayLoader(Squares(), torch.stack, sampler(1), 0)
