"""Pack videos into tar files ("shards"), for object stores and for disks that dislike many files.

The same as ``vjepa pack_shards``.
"""

import sys

from vjepa.commands.pack_shards import main

if __name__ == "__main__":
    sys.exit(main())
