"""Examine a model as a world model: what does it know of the future, of objects and of time?

The same as ``vjepa exam``.
"""

import sys

from vjepa.commands.exam import main

if __name__ == "__main__":
    sys.exit(main())
