"""Conversion of weights that others released to the content of a model folder, and back.

released = read_released("vitl.pt")
released.family, released.config, released.tensors
"""
