"""Action-conditioned models: the next frame is predicted from past frames and actions, and planned with."""
