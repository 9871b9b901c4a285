"""Measures, one room a question; nothing here trains an encoder.

probes/       What do frozen features tell? Classes, factors of rendered scenes, pixels, states.
features/     Features of videos, extracted and kept on disk.
future/       How good are predicted embeddings, samples of the future, and imagined steps?
violations/   Is the model surprised by what cannot happen?
recognition/  How often is the right class named?
collapse      Do embeddings still differ from each other?
statistics    Intervals over videos and seeds.
"""
