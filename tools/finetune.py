"""Teach a pre-trained model to name actions: fine-tuning, LoRA, or probes of the frozen encoder.

    accelerate launch tools/finetune.py --config configs/finetune/probe.yaml --model.init runs/quickstart \
        --data.train 'videos.csv?split=train' --data.test 'videos.csv?split=test'

Where data.test is not given, a fifth of the training videos is held back and tested (data.test_share). Prints the accuracy at the
end and writes a run's folder: metrics.jsonl, summary.json, scores.csv (class probabilities of every test video), confusion.png,
classes.md, and model/, which `vjepa.VideoClassifier.from_pretrained` and tools/classify.py take. The same command again
goes on where the run was. Exit status: 0 finished, 75 stopped on request with a checkpoint saved, 130 interrupted by a
second Ctrl-C, 2 settings, files or a folder that cannot be used, 1 any other error.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import vjepa.cpu_threads  # noqa: F401  (before torch)

# isort: split
from vjepa.config import FinetuneConfig, read_tree
from vjepa.training.finetune import finetune
from vjepa.training.stop import command


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit status."""
    finetune(read_tree(sys.argv[1:] if arguments is None else arguments, FinetuneConfig, __doc__))
    return 0


if __name__ == "__main__":
    sys.exit(main())
