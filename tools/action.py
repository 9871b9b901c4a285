"""Train an action-conditioned model: it predicts what actions do, so that it can be planned with.

    accelerate launch tools/action.py --config configs/action/two_rooms.yaml

It learns from trajectories: frames, the actions between them and, where known, states. The same command again goes on
where the run was. tools/plan.py plans with the model. Exit status: 0 finished, 75 stopped on request with a checkpoint
saved, 130 interrupted by a second Ctrl-C, 2 settings, files or a folder that cannot be used, 1 any other error.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import vjepa.cpu_threads  # noqa: F401  (before torch)

# isort: split
from vjepa.config import ActionConfig, read_tree
from vjepa.training.action import train_action_model
from vjepa.training.stop import command


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit status."""
    train_action_model(read_tree(sys.argv[1:] if arguments is None else arguments, ActionConfig, __doc__))
    return 0


if __name__ == "__main__":
    sys.exit(main())
