"""Plots and films, one kind in each file.

run             Training curves and summary table of a run.
strip           Clips and model outputs, frame by frame or side by side.
future          Predicted embeddings as colours, and surprise over time.
violations      Pairs of possible and impossible videos with their surprise.
imagination     Imagined frames of an action-conditioned model, and its energy landscape.
planning        Films of planned episodes.
confusion       Confusion matrix of a classifier.
exam_page       A page with plots and tables about the exam of a model.
video_page      A page that plays a video with maps over it.
svg             Figures as SVG text.
label_curve     Accuracy against the share of labels.
labelled_video  A video with its predicted classes written into it.
"""
