"""Train an action-conditioned model, which predicts the effect of actions and is used for planning.

The same as ``vjepa action``.
"""

import sys

from vjepa.commands.action import main

if __name__ == "__main__":
    sys.exit(main())
