"""Features of videos from a frozen encoder.

extract      Features of the videos of a list.
cache        The same, kept on disk in shards.
frame_cache  Tokens of single frames of trajectories, kept on disk.
"""
