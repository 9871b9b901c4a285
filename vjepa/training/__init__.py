"""The training loop: its optimiser, checkpoints, run folder, processes and signals."""
