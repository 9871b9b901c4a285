"""Estimate what a pre-training run costs on GPUs that are not at hand.

The same as ``vjepa estimate``.
"""

import sys

from vjepa.commands.estimate import main

if __name__ == "__main__":
    sys.exit(main())
