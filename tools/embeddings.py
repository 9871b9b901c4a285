"""Show which videos are alike for a model: a page with a map of their embeddings, and the nearest of each.

The same as ``vjepa embeddings``.
"""

import sys

from vjepa.commands.embeddings import main

if __name__ == "__main__":
    sys.exit(main())
