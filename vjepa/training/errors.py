"""Errors that end a run in training."""


class NonFiniteError(RuntimeError):
    """The loss or the gradient of a step is not finite; all checkpoints are from earlier steps."""


class SaveError(RuntimeError):
    """A checkpoint cannot be written; earlier checkpoints are unchanged."""
