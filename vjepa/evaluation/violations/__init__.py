"""Violation of expectation: is a model more surprised by an impossible video than by its possible twin?

accuracy   Relative and absolute accuracies on pairs of videos, from losses.
benchmark  Measures of a model on sets of pairs, compared with untrained copies and other models.
"""
