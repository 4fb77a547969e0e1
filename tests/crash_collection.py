"""Kills a process that writes to a collection, again and again, and looks at what is left.

`python tests/crash_collection.py --kills 100 --seed 1`

A child adds, replaces, deletes and optimizes, and says before and after each call what it does; it is killed (SIGKILL)
at a random moment. Afterwards everything that had returned must be there and be found, the call that was cut off may
have happened or not, document by document, and nothing may be half-written. The next child goes on in the same folder.
test_collection_durability.py runs a few rounds of this.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import crumb
from crumb.search.collection.edge import Edge

WORDS = ["bread", "train", "roof", "keys", "kitchen", "night", "north", "cat", "operator", "river", "stone", "paper"]
CHUNK = 16  # tokens a passage: a document has one to some thirty of them
State = dict[int, tuple[str, dict[str, Any]]]


def document(rng: random.Random) -> str:
    lines = rng.choice([1, 1, 2, 8, 30])
    return "\n".join(" ".join(rng.choices(WORDS, k=9)) + f" {rng.randrange(10**6)}" for _ in range(lines))


def child(folder: Path, seed: int) -> None:
    """Writes for ever; every call is told on stdout before and after it."""
    rng = random.Random(seed)
    Edge.create = partial(Edge.create, graph_from=60)  # type: ignore[method-assign]  # so that there are graphs
    with crumb.Collection(folder, chunk_tokens=CHUNK) as c:
        known = list(c.ids())
        step = 0
        while True:
            step += 1
            what = rng.choices(["add", "upsert", "metadata", "delete", "optimize"], [5, 6, 2, 2, 1])[0]
            if what == "add":
                ids = [seed * 1_000_000 + step * 100 + i for i in range(rng.randint(1, 6))]
            else:
                ids = rng.sample(known, min(len(known), rng.randint(1, 6)))
            texts = [document(rng) for _ in ids]
            metadata = [{"step": step, "even": step % 2 == 0} for _ in ids]
            if what == "metadata":
                texts = [item.text for item in c.get(ids)]
            print(json.dumps(["begin", what, ids, texts, metadata]), flush=True)
            if what == "add":
                c.add(texts, ids=ids, metadata=metadata)
                known += ids
            elif what == "delete":
                c.delete(ids)
                known = [name for name in known if name not in ids]
            elif what == "optimize":
                c.optimize()
            else:
                c.upsert(texts, ids=ids, metadata=metadata)
            print(json.dumps(["done"]), flush=True)


def replay(lines: list[str], state: State) -> tuple[State, State | None]:
    """What must be there, and what the call that was cut off (if any) would have made of it."""
    wanted: State | None = None
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            break  # the last line, cut off as well: its call had not begun
        if event[0] == "done":
            assert wanted is not None
            state, wanted = wanted, None
        else:
            _, what, ids, texts, metadata = event
            wanted = dict(state)
            if what == "delete":
                for name in ids:
                    wanted.pop(name, None)
            elif what != "optimize":
                wanted |= {name: (text, meta) for name, text, meta in zip(ids, texts, metadata, strict=True)}
    return state, wanted


def what(lines: list[str]) -> str:
    """The call that was begun last."""
    calls = [line for line in lines if line.startswith('["begin"') and line.endswith("]")]
    return str(json.loads(calls[-1])[1])


def check(c: crumb.Collection, state: State, wanted: State | None, rng: random.Random) -> State:
    """Refuses what is lost or half-written; gives what is there."""
    items = {item.id: item for item in c}
    found: State = {int(item.id): (item.text, item.metadata) for item in items.values()}
    for name in state.keys() | found.keys() | (wanted or {}).keys():
        allowed = [state.get(name)] + ([] if wanted is None else [wanted.get(name)])
        assert found.get(name) in allowed, f"{name}: {found.get(name)} is none of {allowed}"
    assert len(c) == len(found)
    # every passage belongs to a document that is there, is one of as many as it says, and was written with the others
    points, after = [], None
    while True:
        page, after = c._backend.scroll(None, 1_000, after, None)
        points += [point.payload for point in page]
        if after is None:
            break
    assert len(points) == c._backend.count(None)
    assert Counter(p["id"] for p in points) == {item.id: item.chunks for item in items.values()}
    for p in points:
        assert p["chunks"] == items[p["id"]].chunks
        assert p["text"] in items[p["id"]].text
        assert p["meta"] == items[p["id"]].metadata
    assert len({(p["id"], p["hash"]) for p in points}) == len(found)
    for name in rng.sample(sorted(found), min(5, len(found))):
        passage = found[name][0].split("\n")[-1]
        for mode in ("dense", "bm25"):
            hits = c.search(passage, mode=mode, top_k=3, exact=True)  # type: ignore[arg-type]
            assert name in {hit.id for hit in hits}, f"{name} is there and not found by {passage!r} ({mode})"
    return found


def run(folder: Path, kills: int, seed: int, longest: float = 0.6) -> Counter[str]:
    """Kills so many children; gives how often which call was cut off."""
    rng = random.Random(seed)
    state: State = {}
    cut_off: Counter[str] = Counter()
    for kill in range(kills):
        process = subprocess.Popen(
            [sys.executable, __file__, "--child", str(folder), "--seed", str(seed + kill)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        first = [process.stdout.readline(), process.stdout.readline()]  # by now the model is loaded
        time.sleep(rng.uniform(0, longest))
        process.kill()
        rest = process.stdout.read()  # and not communicate(), which would not see what readline() has read ahead
        process.wait()
        process.stdout.close()
        assert first[1], "the child has failed; its error stands above"
        lines = [*first, *rest.splitlines()]
        state, wanted = replay(lines, state)
        cut_off[what(lines) if wanted is not None else "nothing"] += 1
        with crumb.Collection(folder, create=False) as c:
            state = check(c, state, wanted, rng)
    cut_off["documents at the end"] = len(state)
    return cut_off


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--child", type=Path, default=None, help="be the one that is killed")
    args = parser.parse_args()
    if args.child:
        child(args.child, args.seed)
    with tempfile.TemporaryDirectory() as folder:
        cut_off = dict(run(Path(folder), args.kills, args.seed))
        print(f"{args.kills} kills, nothing lost or half-written; cut off: {cut_off}")
        size = sum(path.stat().st_blocks * 512 for path in Path(folder).rglob("*"))
        segments = len(list((Path(folder) / "shard" / "segments").iterdir()))
        print(f"{size / 1e6:.0f} MB on the disk, {segments} segments")


if __name__ == "__main__":
    main()
