"""Training objectives: the networks, masks and loss of one method per module."""
