"""Recipes: one room per task, with its configuration, what is built from it, and its run."""
