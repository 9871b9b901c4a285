"""Whoever draws inside these blocks draws nothing away from others."""

import random

import numpy as np
import torch

from vjepa.seeding import random_state_kept, seeded


def draws():
    return random.random(), np.random.rand(), torch.rand(1).item()


def test_all_generators_go_on_as_if_nothing_was_drawn():
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    expected = [draws(), draws()]
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    first = draws()
    try:
        with random_state_kept():
            draws()
            torch.manual_seed(7)
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert [first, draws()] == expected


def test_a_seeded_block_leaves_the_generator_where_it_was():
    torch.manual_seed(0)
    expected = torch.rand(2).tolist()
    torch.manual_seed(0)
    first = torch.rand(1).item()
    with seeded(3):
        inside = torch.rand(1).item()
    with seeded(3):
        assert torch.rand(1).item() == inside
    assert [first, torch.rand(1).item()] == expected
