"""Measure surprise at physically impossible events, with controls.

The same as ``vjepa violations``.
"""

import sys

from vjepa.commands.violations import main

if __name__ == "__main__":
    sys.exit(main())
