"""The Python face of the native engine: weights in, vectors out.

Enters: named float32 arrays and token ids. Leaves: float32 arrays. Knows nothing of text, files, prompts or
normalisation.
"""
