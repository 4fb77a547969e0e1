"""Measuring a model: retrieval sets and metrics. Stands on the model, and nothing stands on it."""
