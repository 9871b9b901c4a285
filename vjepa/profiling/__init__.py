"""Cost of training and inference.

flops   Operations, parameters and memory of a training step, counted without computing it.
timing  Times of several pieces of work, measured alternately.
"""
