"""What is done to vectors once there are some: cut, normalise, compare. Knows nothing of texts or models."""

from crumb.vectors.normalize import cut, normalize
from crumb.vectors.similarity import similarity

__all__ = ["cut", "normalize", "similarity"]
