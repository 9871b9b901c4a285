"""Pre-train a video world model.

    accelerate launch tools/pretrain.py --config configs/pretrain/quickstart.yaml
    accelerate launch tools/pretrain.py --config configs/pretrain/tiny.yaml --data.train videos.csv
    accelerate launch tools/pretrain.py --config configs/action/two_rooms.yaml

A configuration with the section `dynamics` is of a world model with actions, trained on trajectories. The same command
again goes on where the run was. Exit status: 0 finished, 75 stopped on request with a checkpoint saved, 130 interrupted
by a second Ctrl-C, 2 settings, files or a folder that cannot be used, 1 any other error.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import vjepa.cpu_threads  # noqa: F401  (before torch)

# isort: split
from vjepa.config import ActionConfig, is_action_config, read_config, read_tree
from vjepa.training.action import train_action_model
from vjepa.training.pretrain import pretrain
from vjepa.training.stop import command


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    acts = is_action_config(given)
    config = read_tree(given, ActionConfig) if acts else read_config(given)
    train_action_model(config) if isinstance(config, ActionConfig) else pretrain(config)
    return 0


if __name__ == "__main__":
    sys.exit(main())
