"""Measure how many labels are needed: fine-tune several models with 1, 5, 10, 50 and 100 % of them.

The same as ``vjepa few_labels``.
"""

import sys

from vjepa.commands.few_labels import main

if __name__ == "__main__":
    sys.exit(main())
