"""Measure how well a probe of frozen tokens anticipates actions before they start.

The same as ``vjepa anticipate``.
"""

import sys

from vjepa.commands.anticipate import main

if __name__ == "__main__":
    sys.exit(main())
