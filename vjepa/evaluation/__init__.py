"""Measures of representations, from frozen features; nothing here trains an encoder.

features, feature_cache          features of labelled videos, and on disk
knn, probe, attentive            classes read out of them
factors                          position, velocity and the like of rendered videos
pixel_readout, pixel_decoder     how much of the plot they kept
principal                        features that no network learnt
collapse, lidar                  effective ranks, and the alarm
future, future_skill             predicted embeddings against copies, means and straight lines
futures, calibration             several predictions against what happened
expectation, violations          surprise at what cannot happen, and its controls
anticipation, anticipation_probe  which action comes next
statistics                       intervals over seeds
cost, timing                     operations and time
report, strip, *_plot         tables, plots and films
"""
