"""What is learnt: one module per objective."""
