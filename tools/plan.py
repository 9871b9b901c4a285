"""Act in an environment by planning with an action-conditioned model.

The same as ``vjepa plan``.
"""

import sys

from vjepa.commands.plan import main

if __name__ == "__main__":
    sys.exit(main())
