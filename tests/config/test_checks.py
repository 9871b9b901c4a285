"""Numbers of a command are checked before anything is loaded."""

import argparse

import pytest

from vjepa.commands import anticipate, classify, embeddings, plan, reconstruct, validate, violations
from vjepa.config import checks


def test_an_option_below_its_smallest_value_is_named():
    options = argparse.Namespace(clips=None, top=1, seed=-1)
    checks.options_at_least(options, clips=1, top=1)
    with pytest.raises(ValueError, match=r"^--seed is -1: give 0 or more$"):
        checks.options_at_least(options, top=1, seed=0)


NOWHERE = ["--model", "nowhere"]
VIDEOS = [*NOWHERE, "--videos", "nowhere"]


@pytest.mark.parametrize(
    ("command", "arguments", "option", "least"),
    [
        (validate, ["nowhere"], "num_workers", 0),
        (classify, VIDEOS, "clips", 1),
        (classify, VIDEOS, "top", 1),
        (embeddings, VIDEOS, "most", 4),
        (reconstruct, VIDEOS, "clips", 1),
        (reconstruct, VIDEOS, "seed", 0),
        (anticipate, [*NOWHERE, "--train", "nowhere", "--test", "nowhere"], "seed", 0),
        (violations, [*NOWHERE, "--synthetic"], "num_sets", 1),
        (violations, [*NOWHERE, "--synthetic"], "num_ordinary", 20),
        (violations, [*NOWHERE, "--synthetic"], "nulls", 2),
        (plan, NOWHERE, "episodes", 1),
        (plan, NOWHERE, "steps", 1),
        (plan, NOWHERE, "seed", 0),
    ],
)
def test_a_number_that_a_command_cannot_use_is_said_first(command, arguments, option, least, capsys):
    assert command.main([*arguments, f"--{option}={least - 1}"]) == 2
    assert capsys.readouterr().err == f"error: --{option} is {least - 1}: give {least} or more\n"
