"""Show in a browser what a model makes of a video that is uploaded: predictions and surprise, or classes.

The same as ``vjepa demo``.
"""

import sys

from vjepa.commands.demo import main

if __name__ == "__main__":
    sys.exit(main())
