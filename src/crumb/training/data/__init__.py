"""Training data: rows of files in, batches out."""
