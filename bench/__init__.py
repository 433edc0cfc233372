"""Measurements: each a ratio against a rival in the same run."""
