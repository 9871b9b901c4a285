"""Train an action-conditioned model, which predicts the effect of actions and is used for planning.

    accelerate launch -m vjepa action --config configs/action/two_rooms.yaml

The training data are trajectories: frames, the actions between them and, optionally, states. vjepa plan
plans with the trained model. The same command again resumes the run from its latest checkpoint.

Exit status: 0 done; 1 an unexpected error, or one that showed during training; 2 arguments, settings, files
or a folder that cannot be used; 75 asked to stop, with a checkpoint saved; 130 interrupted by a second
Ctrl-C.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import vjepa.cpu_threads  # noqa: F401  (before torch)

# isort: split
from vjepa.config import read_config
from vjepa.recipes.action.config import ActionConfig
from vjepa.recipes.action.run import train_action_model
from vjepa.recipes.configs import CONFIGS
from vjepa.training.stop import command


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    train_action_model(read_config(given, ActionConfig, __doc__, CONFIGS))
    return 0
