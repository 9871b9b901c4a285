"""Parts of the networks: tubelet embedding and position tables."""
