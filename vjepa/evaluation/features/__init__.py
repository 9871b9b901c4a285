"""Features of videos from a frozen encoder.

extract      Features of the videos of a list.
cache        Features of videos, kept on disk in shards.
frame_cache  Tokens of the frames of trajectories, kept on disk.
"""
