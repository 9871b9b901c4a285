"""Check the videos of a manifest before a run, and write a manifest of those that can be read.

The same as ``vjepa validate``.
"""

import sys

from vjepa.commands.validate import main

if __name__ == "__main__":
    sys.exit(main())
