"""Finding: exact search over vectors, and search over real files. Stands on the model; nothing of the model stands on it."""
