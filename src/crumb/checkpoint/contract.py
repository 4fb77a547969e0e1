"""The contract: everything about a model that shapes its vectors, resolved once, shown to people, stored with results.

Enters: values that read.py has found, each with the file it came from. Leaves: plain data, a text for people, a
fingerprint. Knows nothing of how the files look.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Contract:
    """What a model promises. `origins` tells for each field which file (or default) decided it.

    Attributes:
        name: what to call the model; not part of the fingerprint.
        folder: where it lies; neither shown by `as_dict` nor part of the fingerprint.
        weight_files, tokenizer_files: the files in `folder` whose bytes enter the fingerprint.
        hidden, layers, heads, ffn, vocabulary, position_rows: the encoder's shape; `position_rows` as in the
            checkpoint.
        activation: "gelu" (exact) or "gelu_tanh".
        layer_norm_epsilon: LayerNorm's epsilon.
        dtype: of the stored weights, e.g. "float32"; the engine computes in float32.
        pooling: modes put side by side, of "cls", "max", "mean", "mean_sqrt_len", "lasttoken".
        include_prompt: whether a prompt's tokens take part in pooling.
        normalize: whether the checkpoint itself ends in a Normalize module.
        lowercase: whether texts are lower-cased before the tokenizer sees them.
        context: longest input in tokens, special tokens included.
        positions: how rows beyond `position_rows` are made: "checkpoint" (there are none), "tile", "interpolate",
            "hierarchical".
        prompts: prompt name to text; `default_prompt_name` is used where the caller names none.
        similarity: "cosine", "dot", "euclidean" or "manhattan", as the checkpoint recommends.
    """

    name: str
    folder: Path
    weight_files: tuple[str, ...]
    tokenizer_files: tuple[str, ...]
    hidden: int
    layers: int
    heads: int
    ffn: int
    vocabulary: int
    position_rows: int
    activation: str
    layer_norm_epsilon: float
    dtype: str
    pooling: tuple[str, ...]
    include_prompt: bool
    normalize: bool
    lowercase: bool
    context: int
    positions: str
    prompts: dict[str, str]
    default_prompt_name: str | None
    similarity: str
    origins: dict[str, str] = field(default_factory=dict)

    @property
    def dimensions(self) -> int:
        """Components of a full vector."""
        return self.hidden * len(self.pooling)

    def settings(self) -> dict[str, Any]:
        """The fields that shape vectors, as plain JSON data."""
        left_out = {"name", "folder", "weight_files", "tokenizer_files", "origins"}
        return {key: value for key, value in _plain(self).items() if key not in left_out}

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256, 64 hex digits, over the settings and the bytes of the weights and tokenizer: equal fingerprints mean
        that the same text gets the same vector. Reads the files the first time (about 0.1 s for 90 MB).
        """
        # Here and not above: it brings OpenSSL, and most processes ask for no fingerprint.
        import hashlib

        digest = hashlib.sha256(json.dumps(self.settings(), sort_keys=True).encode())
        for name in (*self.weight_files, *self.tokenizer_files):
            with (self.folder / name).open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data: name, dimensions, settings, fingerprint and origins."""
        return {
            "name": self.name,
            "dimensions": self.dimensions,
            **self.settings(),
            "fingerprint": self.fingerprint,
            "origins": dict(self.origins),
        }

    def describe(self) -> str:
        """One setting a line, aligned, with the file that decided it."""
        rows = [("name", self.name, ""), ("dimensions", str(self.dimensions), "hidden x pooling modes")]
        for key, value in self.settings().items():
            shown = ", ".join(map(str, value)) if isinstance(value, list) else json.dumps(value, ensure_ascii=False)
            rows.append((key, shown.strip('"') if isinstance(value, str) else shown, self.origins.get(key, "")))
        rows.append(("fingerprint", self.fingerprint, "weights, tokenizer and the settings above"))
        widths = [max(len(row[i]) for row in rows if i == 0 or len(row[i]) < 40) for i in (0, 1)]
        return "\n".join(f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c}".rstrip() for a, b, c in rows)


def _plain(contract: Contract) -> dict[str, Any]:
    data = asdict(contract)
    return {f.name: list(data[f.name]) if isinstance(data[f.name], tuple) else data[f.name] for f in fields(contract)}
