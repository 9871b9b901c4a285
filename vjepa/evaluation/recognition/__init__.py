"""Action recognition.

scoring     Class probabilities of videos.
score_file  Those probabilities as a CSV file.
metrics     Accuracies with intervals.
report      Accuracies and score files of classified videos, for every tool.
"""
