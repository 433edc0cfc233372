"""What Keras 2's LocallyConnected1D computes, stored: made by ``make``, read by ``stored``."""
