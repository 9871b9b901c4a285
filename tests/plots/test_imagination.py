"""The map of energies has its cells where their actions are."""

from types import SimpleNamespace

import matplotlib.axes
import pytest
import torch
from matplotlib.figure import Figure

from vjepa.plots import imagination as picture


@pytest.mark.parametrize("size", [1, 2, 3])
def test_cells_lie_around_their_actions_and_axes_name_what_they_show(size, monkeypatch):
    grids, extents = [], []

    def energy(_model, _tokens, _done, _goal, grid_sA, _states):
        grids.append(grid_sA)
        return torch.arange(len(grid_sA), dtype=torch.float32)

    draw = matplotlib.axes.Axes.imshow

    def imshow(axis, image, **options):
        extents.append(options["extent"])
        return draw(axis, image, **options)

    monkeypatch.setattr(picture, "energy_landscape", energy)
    monkeypatch.setattr(matplotlib.axes.Axes, "imshow", imshow)
    axis = Figure().subplots()
    model = SimpleNamespace(action_mean=torch.zeros(size), action_std=torch.ones(size))
    picture._draw_energy(axis, model, torch.zeros(2, 1, 1), torch.zeros(1, size), None, 1)
    cell = 4 / (picture.POINTS - 1)
    assert extents[0] == pytest.approx((-2 - cell / 2, 2 + cell / 2, 2 + cell / 2, -2 - cell / 2))
    places = [-2 + cell * number for number in range(picture.POINTS)]
    assert grids[0][: picture.POINTS, 0].tolist() == pytest.approx(places, abs=1e-6)
    assert axis.get_ylabel() == ("its second number" if size > 1 else "")
    assert (len(axis.get_yticks()) > 0) == (size > 1)
