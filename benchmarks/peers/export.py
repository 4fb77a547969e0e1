"""The model in forms that other runtimes load: a module that exporters can trace, ONNX files, a folder with all
positions.

Enters: a folder and a context. Leaves: the module, or files below a temporary folder that is removed at exit.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path

import torch
from transformers import BertModel

from benchmarks.peers.pytorch import tile

ROWS = "rows"
INPUTS = ("input_ids", "attention_mask")


def temporary_folder() -> Path:
    """A folder that goes when the process does."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def rows_module(folder: Path, context: int) -> torch.nn.Module:
    """A module from (ids, mask), both [batch, length], to hidden rows [batch, length, d]."""
    bert = BertModel.from_pretrained(folder, add_pooling_layer=False, attn_implementation="eager").eval()
    tile(bert, context)

    class Rows(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bert = bert

        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            hidden = self.bert.embeddings(input_ids=ids)
            keep = (1.0 - mask[:, None, None, :].to(hidden.dtype)) * -1e9
            for layer in self.bert.encoder.layer:
                found = layer(hidden, attention_mask=keep)
                hidden = found[0] if isinstance(found, tuple) else found
            return hidden

    return Rows().eval()


def example() -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs to trace `rows_module` with."""
    ones = torch.ones((2, 8), dtype=torch.long)
    return ones, ones


def onnx_file(folder: Path, context: int) -> Path:
    """The model as an ONNX file in float32, batch and length free."""
    path = temporary_folder() / "model.onnx"
    torch.onnx.export(
        rows_module(folder, context),
        example(),
        path,
        input_names=list(INPUTS),
        output_names=[ROWS],
        dynamic_axes={name: {0: "batch", 1: "length"} for name in (*INPUTS, ROWS)},
        dynamo=False,
    )
    return path


def tiled_folder(folder: Path, context: int) -> Path:
    """The model's folder with "tile"d position rows, as transformers saves it, for converters that read folders."""
    bert = BertModel.from_pretrained(folder, add_pooling_layer=True)
    tile(bert, context)
    target = temporary_folder() / "model"
    bert.save_pretrained(target)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"):
        if (folder / name).is_file():
            shutil.copy(folder / name, target / name)
    return target
