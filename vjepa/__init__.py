"""Video world models that predict embeddings."""
