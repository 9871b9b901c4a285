"""Measures of trained models, one folder for each question. Nothing here trains an encoder.

probes/       What do frozen features contain? Classes, factors of rendered scenes, pixels, states.
features/     Features of videos, extracted and kept on disk.
future/       How good are predicted embeddings, sampled futures and imagined steps?
violations/   Does an impossible video surprise the model more than a possible one?
recognition/  How often does a classifier name the right class?
occlusion     Does a prediction know where a hidden object is?
arrow_of_time Is a video that runs backwards more surprising?
tracking      Do similar tokens follow an object?
corruption    Does a corrupted clip remain itself?
exam          What an exam of a model finds, in sections.
collapse      Do embeddings of different videos still differ?
statistics    Metrics with intervals over videos and seeds.
"""
