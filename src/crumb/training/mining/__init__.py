"""Hard negatives for training data, by words and by models."""
