"""Several ways of learning, side by side: the same clips, encoder and budget; only what is asked for differs."""
