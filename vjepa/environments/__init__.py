"""Small worlds to act in: numpy, many copies at once, with pictures and with the truth behind them.

make         worlds by name
two_rooms    a dot, two rooms, a wall with a door
point_mass   a dot with momentum
pushing      a disc that pushes another one

gym_world    any other environment of gymnasium that draws pictures

They are gymnasium's `VectorEnv`s, and need its package (the extra `world`).
"""
