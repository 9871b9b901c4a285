"""Export of trained models: graphs that run without this library, and weights in fewer bits."""
