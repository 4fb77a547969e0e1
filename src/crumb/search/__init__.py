"""Finding: exact search over vectors, and search over real files. Stands on the model, never the other way."""
