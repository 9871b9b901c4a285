"""Building objects from a configuration; no other room knows both.

Exports the builders of pre-training; those of fine-tuning, action-conditioned models and planning are in the
modules of these names.
"""

from vjepa.build.pretraining import (
    Sources,
    build_batches,
    build_dataset,
    build_objective,
    clip_size,
    load_teacher,
    load_weights,
    model_arguments,
    model_config,
    noise_shape,
    probe_dataset,
    probe_manifests,
    probe_sources,
    render_synthetic,
    teacher_arguments,
    teacher_config,
    teacher_folder,
    training_sources,
    whole_frame,
)

__all__ = [
    "Sources",
    "build_batches",
    "build_dataset",
    "build_objective",
    "clip_size",
    "load_teacher",
    "load_weights",
    "model_arguments",
    "model_config",
    "noise_shape",
    "probe_dataset",
    "probe_manifests",
    "probe_sources",
    "render_synthetic",
    "teacher_arguments",
    "teacher_config",
    "teacher_folder",
    "training_sources",
    "whole_frame",
]
