"""Data loading, from files to batches: manifests, readers, sampling, transforms, synthetic videos."""
