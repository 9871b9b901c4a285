"""Models for others: graphs that need no Python of this library."""
