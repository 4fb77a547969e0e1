"""Draws what `python -m benchmarks.encode --json FILE` measured: `python -m benchmarks.plot FILE -o OUT.svg`.

Enters: lines of results. Leaves: one picture, a panel for each kind of work, a bar for each peer with the spread of its
runs; crumb in colour. Needs matplotlib.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

_OURS, _PEERS = "#c2571a", "#8a8f98"


def draw(results: list[dict[str, Any]], path: Path) -> None:
    """One row of panels; all results must be of one machine."""
    # text stays text, and the same results give the same file
    plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "crumb"})
    machines = {(r["cpu"], r["held"], r["threads"]) for r in results}
    if len(machines) != 1:
        raise SystemExit(f"results of {len(machines)} machines in one file: draw each by itself")
    most = max(len(result["rows"]) for result in results)
    figure, panels = plt.subplots(1, len(results), figsize=(4.6 * len(results), 0.8 + 0.3 * most), squeeze=False)
    for panel, result in zip(panels[0], results, strict=True):
        rows = sorted(result["rows"], key=lambda row: row["rate"])
        rates = [row["rate"] for row in rows]
        spread = [[row["rate"] - row["min"] for row in rows], [row["max"] - row["rate"] for row in rows]]
        colours = [_OURS if row["peer"].startswith("crumb") else _PEERS for row in rows]
        panel.barh([row["peer"] for row in rows], rates, color=colours, xerr=spread, ecolor="#444444")
        for i, rate in enumerate(rates):
            panel.text(rate + max(rates) * 0.03, i, f"{rate / 1000:.1f}k", va="center", fontsize=8)
        panel.set_xlim(0, max(rates) * 1.2)
        panel.set_title(f"{result['work']}, tokens/s", fontsize=10)
        panel.tick_params(labelsize=8)
        panel.spines[["top", "right"]].set_visible(False)
    first = results[0]
    held = f", held to {first['held']}" if first["held"] else ""
    figure.suptitle(f"{first['cpu']}{held}, {first['threads']} threads, {first['date']}", fontsize=10)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    results = [json.loads(line) for line in args.results.read_text().splitlines()]
    draw([result for result in results if result["work"] != "latency"], args.output)


if __name__ == "__main__":
    main()
