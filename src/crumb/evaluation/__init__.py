"""Measuring a model: tasks, metrics, comparisons, reports. Stands on the model; training and cli stand on it."""
