"""A large corpus of real vectors: distinct sentences of the texts in JSON lines, embedded into one .npy.

`python -m benchmarks.corpus OUT.npy --rows 1000000 pairs.jsonl.gz …`; goes on where it was stopped. Random vectors
flatter every approximate search, and so do copies of few texts; sentences of many sources are neither.
"""

from __future__ import annotations

import argparse
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

import crumb
from benchmarks.texts import records

FIELDS = ("text", "positive", "query")
_END = re.compile(r"(?<=[.!?])\s+|\n+")
_BATCH = 4096


def sentences(paths: Iterable[Path], words: range) -> Iterator[str]:
    """Distinct sentences with as many words as `words` holds."""
    seen: set[int] = set()
    for path in paths:
        for record in records(path):
            for field in FIELDS:
                for part in _END.split(record.get(field) or ""):
                    text = " ".join(part.split())
                    if len(text.split()) in words and hash(text) not in seen:
                        seen.add(hash(text))
                        yield text


def embed(model: crumb.Model, texts: Sequence[str], out: Path) -> None:
    """float16 [len(texts), dimensions], unit length; `out`.rows counts the rows that are there."""
    count = out.with_name(out.name + ".rows")
    done = int(count.read_text()) if count.exists() else 0
    shape = (len(texts), model.dimensions)
    vectors = np.lib.format.open_memmap(out, mode="r+" if done else "w+", dtype=np.float16, shape=shape)
    for start in tqdm(range(done, len(texts), _BATCH), unit_scale=_BATCH, unit=" texts"):
        batch = texts[start : start + _BATCH]
        vectors[start : start + len(batch)] = model.encode(batch, truncation="end", progress=False)
        vectors.flush()
        count.write_text(str(start + len(batch)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("sources", type=Path, nargs="+", help="JSON lines with text, positive or query, gzipped or not")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--words", type=int, nargs=2, default=(5, 15), help="of a sentence, least and most")
    parser.add_argument("--precision", default="int8")
    args = parser.parse_args()
    texts = list(sentences(args.sources, range(args.words[0], args.words[1] + 1)))
    random.Random(0).shuffle(texts)  # a part of the rows is a sample of all
    if len(texts) < args.rows:
        raise SystemExit(f"only {len(texts)} distinct sentences; name more sources, or fewer --rows")
    embed(crumb.load(precision=args.precision), texts[: args.rows], args.out)


if __name__ == "__main__":
    main()
