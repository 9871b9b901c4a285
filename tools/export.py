"""Export a model to a file that runs without this library: ONNX, or a torch.export program.

The same as ``vjepa export``.
"""

import sys

from vjepa.commands.export import main

if __name__ == "__main__":
    sys.exit(main())
