"""Compare pre-training methods on the same clips and encoder, at equal clips or FLOPs, and write a report.

The same as ``vjepa compare``.
"""

import sys

from vjepa.commands.compare import main

if __name__ == "__main__":
    sys.exit(main())
