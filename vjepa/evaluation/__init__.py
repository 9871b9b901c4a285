"""Measures of models, one room for each question; nothing here trains an encoder.

probes/       What do frozen features contain? Classes, factors of rendered scenes, pixels, states.
features/     Features of videos, extracted and kept on disk.
future/       How good are predicted embeddings, samples of the future, and imagined steps?
violations/   Is the model surprised by what cannot happen?
recognition/  How often is the right class named?
collapse      Do embeddings still differ from each other?
statistics    Metrics with intervals over videos and seeds.
"""
