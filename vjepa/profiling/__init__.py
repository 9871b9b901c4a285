"""What training and inference cost.

flops   Operations, parameters and memory of a step, counted without running it.
timing  Times, measured alternately.
"""
