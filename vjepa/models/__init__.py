"""The tubelet encoder and the predictor."""
