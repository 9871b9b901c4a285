"""Collapse measures, frozen probes, reports."""
