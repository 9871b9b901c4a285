"""Violation of expectation: is a model more surprised by an impossible video than by its possible twin?

accuracy   Relative and absolute accuracies on pairs of videos, from curves of surprise.
benchmark  A model on sets of pairs, beside untrained copies of it and other models.
"""
