"""Pre-train a video model without labels.

    accelerate launch -m vjepa pretrain --config quickstart
    accelerate launch -m vjepa pretrain --config pretrain/tiny --data.train videos.csv
    vjepa pretrain --data.train FOLDER

Without --config, a recipe is chosen that fits the device and the number of videos; which and why is said.
Other options override its settings, and --print_config prints the configuration that would be trained.
The same command again resumes the run from its latest checkpoint.

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
from vjepa.recipes.configs import CONFIGS
from vjepa.recipes.pretrain.choice import with_recipe
from vjepa.recipes.pretrain.config import PretrainConfig
from vjepa.recipes.pretrain.run import pretrain
from vjepa.training.stop import command


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    pretrain(read_config(with_recipe(given), PretrainConfig, __doc__, CONFIGS))
    return 0
