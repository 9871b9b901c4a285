"""From files to clips: manifests, readers, sampling, transforms, synthetic videos."""
