"""Pre-train a video model without labels.

    accelerate launch tools/pretrain.py --config configs/pretrain/quickstart.yaml
    accelerate launch tools/pretrain.py --config configs/pretrain/tiny.yaml --data.train videos.csv

The same command again goes on where the run was. Exit status: 0 finished, 75 stopped on request with a checkpoint saved,
130 interrupted by a second Ctrl-C, 2 settings, files or a folder that cannot be used, 1 any other error.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import vjepa.cpu_threads  # noqa: F401  (before torch)

# isort: split
from vjepa.config import read_config
from vjepa.training.pretrain import pretrain
from vjepa.training.stop import command


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit status."""
    pretrain(read_config(sys.argv[1:] if arguments is None else arguments, __doc__))
    return 0


if __name__ == "__main__":
    sys.exit(main())
