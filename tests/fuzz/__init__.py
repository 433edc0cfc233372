"""Random calls, and how their results are judged. README.md says how to run them."""
