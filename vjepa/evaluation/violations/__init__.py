"""Violation of expectation: is a model more surprised by an impossible video than by its possible twin?

accuracy   Relative and absolute accuracies of pairs, from curves of surprise.
benchmark  A model on sets of pairs, beside untrained copies of it and other models.
"""
