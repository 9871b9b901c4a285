"""The colours of all plots: one meaning each, and told apart by the colour-blind (Okabe and Ito)."""

BLUE, ORANGE, GREEN, VERMILION, PURPLE = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7"
SKY, OLIVE = "#56b4e9", "#b5a800"

TRAINED = BLUE  # the model that was trained
UNTRAINED = "#777777"  # the same network untrained, and other baselines
UNLABELLED = "#777777"  # videos without a label
POSSIBLE, IMPOSSIBLE = "#777777", VERMILION  # videos that keep to the laws of motion, and those that do not
SURPRISE = VERMILION

SERIES = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, OLIVE, "#000000")
"""Colours of things that have no meaning of their own, such as the arms of a comparison."""

GREYS = ("#4d4d4d", "#8c8c8c", "#bfbfbf")
"""Colours of arms that are not trained."""
