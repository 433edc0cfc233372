"""Mutation testing of the Python package; CONTRIBUTING.md says how it is run."""
