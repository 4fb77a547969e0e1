"""What the benchmarks encode: the texts of tests/data, sorted into kinds of work.

Enters: nothing. Leaves: texts with the context they are meant for.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

TEXTS = Path(__file__).parent.parent / "tests" / "data" / "texts.jsonl.gz"


class Work(NamedTuple):
    """Texts, and the context of the model that encodes them."""

    texts: list[str]
    context: int


def rows() -> list[dict[str, str]]:
    """The rows of tests/data: "text" and "source"."""
    with gzip.open(TEXTS, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def records(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of JSON lines, gzipped or not. Lines that are no JSON are passed over, and counted on stderr."""
    damaged = 0
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as lines:
        for line in lines:
            try:
                yield json.loads(line)
            except ValueError:
                damaged += 1
    if damaged:
        print(f"{path}: {damaged} lines that are no JSON", file=sys.stderr)


def work() -> dict[str, Work]:
    """Kinds of work by name: passages (abstracts), queries (titles), documents (meeting transcripts)."""
    found = rows()
    arxiv = [row["text"] for row in found if row["source"] == "arxiv"]
    longest = max((row["text"] for row in found), key=len)
    # the only one of 4,096 tokens; turned round at other places it makes other documents as long
    turned = [longest[i:] + longest[:i] for i in range(0, 4 * 3000, 3000)]
    return {
        "passages": Work([text for text in arxiv if len(text) > 500] * 2, 512),
        "queries": Work([text for text in arxiv if len(text) < 200] * 6, 512),
        "document": Work([longest], 4096),
        "documents": Work(turned, 4096),
    }
