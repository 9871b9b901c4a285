"""Pre-training: a model learns from videos without labels."""
