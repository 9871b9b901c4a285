"""Inference with trained models: future embeddings, surprise and classes."""
