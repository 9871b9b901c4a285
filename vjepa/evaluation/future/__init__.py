"""How good predictions of the future are.

report              Report of a model's predictions on a list of videos.
skill               Errors at each horizon, beside copies, straight lines, means and other videos.
samples             Calibration of a model's sampled futures on rendered videos.
calibration         Whether the truth lies among the samples as often as it should.
anticipation        Which action comes next, read by a probe from tokens and predictions.
anticipation_probe  The probe of action anticipation, its loss and its metric.
imagination         Imagined steps of an action-conditioned model against what came.
"""
