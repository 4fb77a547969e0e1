"""Making a model: data, losses, the encoder in PyTorch, the trainer. Stands on the model, and nothing stands on it."""
