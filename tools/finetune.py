"""Train a pre-trained model to classify videos: fine-tuning, LoRA, or probes of the frozen encoder.

The same as ``vjepa finetune``.
"""

import sys

from vjepa.commands.finetune import main

if __name__ == "__main__":
    sys.exit(main())
