"""Several ways of learning, side by side: the same clips, encoder and budget.

Only what is asked for differs.
"""
