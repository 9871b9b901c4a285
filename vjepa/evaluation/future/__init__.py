"""Measures of predictions of the future.

report              Report of a model's predictions on a list of videos.
skill               Errors at each horizon, compared with copies, straight lines, means and other videos.
samples             Calibration of a model's sampled futures on rendered videos.
calibration         Calibration measures: does the truth lie among the samples as often as it should?
anticipation        Action anticipation: which action comes next, by a probe on tokens and predictions.
anticipation_probe  The probe of action anticipation, its loss and its metric.
imagination         Imagined steps of an action-conditioned model, compared with the true steps.
"""
