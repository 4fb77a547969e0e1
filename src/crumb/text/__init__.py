"""Texts before the model: tokenised, cut to the context with a count, chunked on structure. Knows nothing of vectors."""
