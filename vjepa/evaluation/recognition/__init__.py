"""Measures of action recognition.

scores   Class probabilities of videos, and their CSV files.
metrics  Accuracies with intervals.
report   Accuracies and score files of classified videos, for every tool.
"""
