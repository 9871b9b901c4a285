"""Write a manifest of a published data set from its annotation files and videos.

The same as ``vjepa make_manifest``.
"""

import sys

from vjepa.commands.make_manifest import main

if __name__ == "__main__":
    sys.exit(main())
