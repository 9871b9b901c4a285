"""Convert a model to another layout: this library's, transformers', or V-JEPA's and VideoMAE's own.

The same as ``vjepa convert``.
"""

import sys

from vjepa.commands.convert import main

if __name__ == "__main__":
    sys.exit(main())
