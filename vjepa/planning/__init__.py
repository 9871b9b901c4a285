"""Planning: search for the actions of smallest cost, and agents that act on the plans.

planner   Interface of planners: bounds, costs, plans and correlated noise.
settings  Settings of the planners.
cem       Cross-entropy method, with iCEM's correlated noise and kept elites.
mppi      Model predictive path integral control.
gradient  Adam on the actions themselves, from several starts.
goals     Goals as costs of imagined frames.
agent     Receding-horizon control with an action-conditioned model.
policies  Policies of environments: a planning model and its baselines.
episodes  Episodes of a policy, and how many of them succeed.

Planners evaluate all candidates of a round in one call, without a loop over samples.
"""
