"""What is done to vectors once there are some: cut, normalise, quantise, compare, search.

Knows nothing of texts or models.
"""

from crumb.vectors.codes import Codes
from crumb.vectors.normalize import cut, normalize
from crumb.vectors.quantize import Encoding, Ranges, dequantize, quantize
from crumb.vectors.score import Best, top_k
from crumb.vectors.similarity import similarity

__all__ = [
    "Best",
    "Codes",
    "Encoding",
    "Ranges",
    "cut",
    "dequantize",
    "normalize",
    "quantize",
    "similarity",
    "top_k",
]
