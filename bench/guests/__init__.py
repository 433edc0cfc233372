"""Rivals of other frameworks: each in a process, and if need be a Python, of its own.

Nothing in here imports torch or this package: ``python -m bench.guests MODULE`` has to run where
neither is installed. ``process`` alone is the host's side.
"""
