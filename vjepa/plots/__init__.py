"""Plots and films, each in the file that is named for what it shows.

run            Curves of a training run.
strip          Clips and what was made of them, frame by frame.
future         Predicted embeddings as colours, and surprise over time.
violations     Pairs of possible and impossible videos with their surprise.
imagination    Imagined frames of an action-conditioned model, and its energy landscape.
planning       Films of planned episodes.
confusion      Which class is taken for which.
label_curve    Accuracy over the share of labels.
labelled_video A video with its classes written into it.
"""
