"""Trajectories: frames, what was done in each of them, and how things stood.

episode     one trajectory, wherever its frames lie
open        from a path to its episodes: the layouts below are told apart by what is in the folder
folder      videos with an .npz or .parquet of actions beside each
lerobot     LeRobot's layout
hdf5        HDF5 files
windows     fixed numbers of frames with the actions between them; frame skip
collect     write episodes of an environment: .mp4 and actions
"""
