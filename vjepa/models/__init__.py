"""Networks: encoder, predictor, action-conditioned model, classifier and their parts."""
