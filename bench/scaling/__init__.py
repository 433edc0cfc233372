"""What a training step of a layer costs on several GPUs: a model, and its messages counted."""
