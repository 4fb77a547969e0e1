"""A model folder on disk: what it says of itself (the contract) and the weights in it.

Enters: a Hugging Face folder. Leaves: a `Contract`, and `EncoderWeights` for the engine. Knows nothing of where the
folder came from (store) or of running it (model).
"""

from crumb.checkpoint.contract import Contract
from crumb.checkpoint.read import read_contract

__all__ = ["Contract", "read_contract"]
