"""Action recognition.

scoring     Class probabilities of videos.
score_file  Those probabilities as a CSV file.
metrics     Accuracies with intervals.
report      Accuracies and files of classified videos, the same for every tool.
"""
