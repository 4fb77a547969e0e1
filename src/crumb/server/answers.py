"""Vectors as JSON, in every form that a client may ask for.

Enters: pooled vectors, how many dimensions, which formats. Leaves: the bytes of an answer. Order: cut, normalise,
encode. Byte codes use the ranges that were fixed with the model, never those of the request, so that a vector's code
does not depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import orjson

from crumb.errors import CheckpointError
from crumb.model import Model
from crumb.server.errors import invalid
from crumb.vectors.normalize import Floats, cut, normalize
from crumb.vectors.quantize import Encoding, quantize


def check_form(model: Model, dimensions: int | None, encodings: Sequence[str], normalized: bool = True) -> None:
    """Refuses, before any work, vectors that the model cannot give.

    Raises:
        ApiError: 422, too many dimensions, or byte codes of a model without ranges or of vectors not of unit length.
    """
    if dimensions is not None and dimensions > model.dimensions:
        raise invalid(
            f"dimensions must be from 1 to {model.dimensions} for {model.name}, got {dimensions}", "dimensions"
        )
    if not {"int8", "uint8"}.isdisjoint(encodings):
        if not normalized:  # the ranges are those of unit vectors: most of these would be clipped
            raise invalid(
                "int8 and uint8 are codes of unit vectors: leave normalized true, or ask for float", "normalized"
            )
        try:
            model.ranges(dimensions)
        except CheckpointError as error:
            raise invalid(str(error), "encoding_format") from None


def shaped(vectors: Floats, dimensions: int | None, normalized: bool) -> Floats:
    """Vectors cut to `dimensions` and scaled to unit length, as asked."""
    kept = cut(vectors, dimensions)
    return normalize(kept) if normalized else kept


def codes(model: Model, vectors: Floats, encoding: str) -> Sequence[Any]:
    """A row for each vector: an array, or for "base64" a str."""
    if encoding == "float":
        return list(vectors)
    ranges = model.ranges(vectors.shape[1]) if encoding in ("int8", "uint8") else None
    return cast(Sequence[Any], quantize(vectors, cast(Encoding, encoding), ranges=ranges))


def embedding_answer(
    *,
    name: str,
    model: Model,
    vectors: Floats,
    encoding_format: str | Sequence[str],
    normalized: bool,
    tokens: int,
    cut: Sequence[tuple[int, int, int]],
) -> bytes:
    """The answer of /v1/embeddings.

    Args:
        name: the model's, as the answer gives it.
        vectors: float32 [n, d], cut and normalised already.
        encoding_format: one, or several for a dictionary in every place.
        cut: (index, tokens, tokens cut) of texts that were too long.
    """
    data: list[dict[str, Any]]
    if isinstance(encoding_format, str):
        rows = codes(model, vectors, encoding_format)
        data = [{"object": "embedding", "index": i, "embedding": row} for i, row in enumerate(rows)]
    else:
        forms = {form: codes(model, vectors, form) for form in dict.fromkeys(encoding_format)}
        data = [
            {"object": "embedding_dict", "index": i, "embedding": {form: rows[i] for form, rows in forms.items()}}
            for i in range(len(vectors))
        ]
    return orjson.dumps(
        {
            "object": "list",
            "model": name,
            "data": data,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens, "completion_tokens": None},
            "normalized": normalized,
            "encoding_format": encoding_format,
            "dimensions": vectors.shape[1],
            "truncated": truncated(cut),
        },
        option=orjson.OPT_SERIALIZE_NUMPY,
    )


def truncated(cut: Sequence[tuple[int, int, int]]) -> list[dict[str, int]]:
    """The list of texts that were cut, as answers give it."""
    return [{"index": index, "tokens": tokens, "cut": lost} for index, tokens, lost in cut]
