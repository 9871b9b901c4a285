"""The training loop, its optimiser, its checkpoints."""
