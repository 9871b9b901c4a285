"""Classify videos with a model trained by tools/finetune.py.

The same as ``vjepa classify``.
"""

import sys

from vjepa.commands.classify import main

if __name__ == "__main__":
    sys.exit(main())
