"""Measures of representations, from frozen features; nothing here trains an encoder.

features, feature_cache          features of labelled videos, and on disk
knn, probe, attentive, labels    classes read out of them, from few labels or many
factors                          position, velocity and the like of rendered worlds
pixel_readout, pixel_decoder     how much of the picture they kept
principal                        features that no network learnt
collapse, lidar                  effective ranks, and the alarm
calibration                      several predictions against what happened
cost, timing, report, strip      operations, time, tables and pictures
"""
