"""Pre-train a video world model.

    accelerate launch tools/pretrain.py --config configs/pretrain/quickstart.yaml
    accelerate launch tools/pretrain.py --config configs/pretrain/tiny.yaml --data.train videos.csv

The same command again goes on where the run was. Exit status: 0 finished, 75 stopped on request with a
checkpoint saved, 2 a configuration that cannot be used, 1 any other error.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import vjepa.cpu_threads  # noqa: F401  (before torch)

# isort: split
from vjepa.config import ConfigError, read_config
from vjepa.training.pretrain import pretrain
from vjepa.training.stop import EXIT_STOPPED, Stopped


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit status."""
    try:
        config = read_config(sys.argv[1:] if arguments is None else arguments)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    try:
        pretrain(config)
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        return EXIT_STOPPED
    return 0


if __name__ == "__main__":
    sys.exit(main())
