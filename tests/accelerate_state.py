"""Accelerate keeps one state a process; a test of several runs is several processes."""

import sys


def fresh_accelerate():
    """Forget the state, if accelerate has been imported at all."""
    state = sys.modules.get("accelerate.state")
    if state is not None:
        for kept in (state.AcceleratorState, state.GradientState, state.PartialState):
            kept._reset_state()
