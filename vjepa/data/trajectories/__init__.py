"""Trajectories: frames, the actions between them, and states if they are known.

episode     one trajectory, wherever its frames are stored
open        from a path to its episodes: the layouts below are recognised by the contents of the folder
folder      videos, each with a .npz or .parquet file of actions beside it
lerobot     LeRobot's layout
hdf5        HDF5 files
windows     fixed numbers of frames with the actions between them, with frame skip
collect     recording episodes of an environment: .mp4 files and actions
"""
