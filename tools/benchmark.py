"""Measure the speed of training steps, inference, decoding and loading on this machine.

The same as ``vjepa benchmark``.
"""

import sys

from vjepa.commands.benchmark import main

if __name__ == "__main__":
    sys.exit(main())
