"""Comparison of pre-training methods that learn from the same clips with the same encoder and budget."""
