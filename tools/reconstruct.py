"""Show which pixels a model reconstructs, or a decoder recovers from its embeddings.

The same as ``vjepa reconstruct``.
"""

import sys

from vjepa.commands.reconstruct import main

if __name__ == "__main__":
    sys.exit(main())
