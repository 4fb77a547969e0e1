"""What is done to vectors once there are some: cut, normalise, quantise, compare. Knows nothing of texts or models."""

from crumb.vectors.normalize import cut, normalize
from crumb.vectors.quantize import Encoding, Ranges, dequantize, quantize
from crumb.vectors.similarity import similarity

__all__ = ["Encoding", "Ranges", "cut", "dequantize", "normalize", "quantize", "similarity"]
