"""Fine-tuning: a pre-trained encoder learns to recognise actions from labelled videos."""
