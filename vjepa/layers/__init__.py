"""Layers of the networks: tubelet embedding, positions, attention, blocks, pooling, pixel normalisation."""
