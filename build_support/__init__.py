"""What setup.py needs to know about the machine."""
