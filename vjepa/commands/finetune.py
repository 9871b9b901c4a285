"""Train a pre-trained model to classify videos: fine-tuning, LoRA, or probes of the frozen encoder.

    accelerate launch -m vjepa finetune --config configs/finetune/quickstart_probe.yaml \\
        --model.init runs/quickstart --data.train 'videos.csv?split=train' --data.test 'videos.csv?split=test'

Where data.test is not given, a fifth of the training videos is held back as test videos (see
data.test_share). Prints the accuracy and writes to the run folder: metrics.jsonl, summary.json, scores.csv
(class probabilities of every test video), confusion.png, classes.md, and the model folder model/, which
`vjepa.VideoClassifier.from_pretrained` and vjepa classify load. The same command again resumes the run
from its latest checkpoint.

Exit status: 0 done; 1 an unexpected error, or one that showed during training; 2 arguments, settings, files
or a folder that cannot be used; 75 asked to stop, with a checkpoint saved; 130 interrupted by a second
Ctrl-C.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import vjepa.cpu_threads  # noqa: F401  (before torch)

# isort: split
from vjepa.config import read_config
from vjepa.recipes.configs import CONFIGS
from vjepa.recipes.finetune.config import FinetuneConfig
from vjepa.recipes.finetune.run import finetune
from vjepa.training.stop import command


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    finetune(read_config(given, FinetuneConfig, __doc__, CONFIGS))
    return 0
