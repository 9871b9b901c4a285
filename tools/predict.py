"""Predict what comes next in videos: embeddings, their errors, and plots.

The same as ``vjepa predict``.
"""

import sys

from vjepa.commands.predict import main

if __name__ == "__main__":
    sys.exit(main())
