"""Pre-train a video model without labels.

The same as ``vjepa pretrain``.
"""

import sys

from vjepa.commands.pretrain import main

if __name__ == "__main__":
    sys.exit(main())
