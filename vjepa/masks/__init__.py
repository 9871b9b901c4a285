"""Which tokens are context and which are targets."""
