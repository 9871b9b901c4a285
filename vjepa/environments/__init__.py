"""Small environments to act in, in numpy: many copies at once, with images and true states.

make         environments by name
two_rooms    a dot, two rooms, a wall with a door
point_mass   a dot with momentum
pushing      a disc that pushes another disc
gym_env      any other environment of gymnasium that renders images

They are gymnasium's `VectorEnv`s and need its package.
"""
