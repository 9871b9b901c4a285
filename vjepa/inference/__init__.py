"""Using a trained model: what comes next, and what surprises it."""
