"""Choose actions by a cost: sampling planners and gradient descent behind one protocol, without a loop over
samples.

plan      what a planner is asked and what it answers; bounds; the next plan from the last one
cem       cross-entropy method, with iCEM's correlated noise and kept elites
mppi      model predictive path integral control
gradient  Adam on the actions themselves, from several starts
noise     noise whose power falls with its frequency
"""
