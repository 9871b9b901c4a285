"""How good predictions of the future are.

report              The report of a model on a list of videos.
skill               Errors at each horizon, beside copies, straight lines, means and other videos.
samples             Several futures of a predictor with noise.
calibration         Whether what happened lies among the samples as often as it should.
anticipation        Which action comes next, by a probe on tokens and predictions.
anticipation_probe  That probe.
imagination         Imagined steps of an action-conditioned model against what came.
"""
