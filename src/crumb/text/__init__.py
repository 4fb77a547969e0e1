"""Texts before the model: tokenised, cut to the context with a count, chunked. Knows nothing of vectors."""
