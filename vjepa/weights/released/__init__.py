"""Weights that others released, as what a model folder of this library holds; and the way back.

released = read_released("vitl.pt")
released.family, released.config, released.tensors
"""
