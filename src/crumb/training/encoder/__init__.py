"""The encoder in plain PyTorch, as it is trained.

Enters: a model folder, texts or token ids. Leaves: pooled vectors of any layers with gradients, and model folders.
Knows nothing of losses, data or the trainer. The public names:

    Encoder.from_folder(folder, *, context=None, positions=None, layers=None, dropout=0.0, activations="auto",
                        split=None)
    encoder.tokenize(texts, *, prefix="", cut=None, threads=1) -> TokenBatch
    encoder(batch, layers=None) -> {layer: float32 [texts, dimensions]}     # from 1 on, 0: embeddings, None: the last
    encoder.save(folder) -> Path                                            # a Hugging Face folder, whole or not at all
    encoder.contract, encoder.layers, encoder.tokenizer, encoder.embeddings.new_positions

    TokenBatch(ids, lengths, positions=None, first_pooled=None, cut=0)  # int64 [tokens], [texts], [tokens], [texts]
    TokenBatch.of(ids, offsets, first_pooled=None)                # from crumb's ragged numpy arrays
    batch.select([3, 0, 5]) -> TokenBatch                         # for chunks of cached gradients
    len(batch), batch.tokens

    freeze(encoder, ["word", "positions"])                        # all other groups are trained
    parameter_groups(encoder, 3e-5, rates={"new_positions": 5e-4}, weight_decay=0.01) -> list for torch.optim.AdamW

Beside it: crumb.training.memory.keep_freed_memory() makes steps on a CPU a tenth faster, and
crumb.training.positions.skipped_positions(lengths, context, generator) places short texts in a long context:
dataclasses.replace(batch, positions=skipped_positions(batch.lengths, …)).
"""

from crumb.training.encoder.encoder import Activations, Encoder
from crumb.training.encoder.groups import freeze, parameter_groups
from crumb.training.encoder.ragged import TokenBatch

__all__ = ["Activations", "Encoder", "TokenBatch", "freeze", "parameter_groups"]
