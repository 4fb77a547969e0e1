"""`crumb models`: the catalogue as a table, or all there is to say about one model.

Enters: nothing, or a name or folder. Leaves: text or JSON on stdout. Touches no network.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from crumb.catalog import Entry, entries
from crumb.errors import ModelNotFoundError

HELP = (
    "Lists the models crumb knows; with a name or a folder, shows what that model promises "
    "and where each value comes from."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument(
        "name", metavar="NAME", nargs="?", help="a name from the list, a Hub id as org/name@commit, or a model folder"
    )
    parser.add_argument("--json", action="store_true", help="JSON instead of text")


def run(args: argparse.Namespace) -> int:
    """Prints the list, or one model."""
    if args.name is None:
        _print_list(as_json=args.json)
    else:
        _print_one(args.name, as_json=args.json)
    return 0


def _print_list(*, as_json: bool) -> None:
    from crumb.store.resolve import locate

    folders = {entry.name: locate(entry) for entry in entries()}
    if as_json:
        print(json.dumps([_facts(entry, folders[entry.name]) for entry in entries()], indent=2))
        return
    rows = [("name", "params", "dims", "context", "licence", "on this machine")]
    for entry in entries():
        here = "yes" if folders[entry.name] else "no"
        rows.append(
            (
                entry.name,
                _millions(entry.parameters),
                str(entry.dimensions),
                str(entry.context),
                entry.licence,
                here if entry.runs else f"{here}; not run yet" if folders[entry.name] else "not run yet",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    numeric = {1, 2, 3}  # params, dims, context: aligned to the right
    for row in rows:
        cells = (
            cell.rjust(width) if column in numeric else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join(cells).rstrip())


def _print_one(name: str, *, as_json: bool) -> None:
    entry, folder = _look_up(name)
    facts = _facts(entry, folder) if entry else None
    contract = None
    if folder and (entry is None or entry.runs):
        from crumb.checkpoint import read_contract

        contract = read_contract(folder)
    if as_json:
        shown = {
            "catalogue": facts,
            "folder": str(folder) if folder else None,
            "contract": contract.as_dict() if contract else None,
        }
        print(json.dumps(shown, indent=2))
        return
    if entry:
        print(_describe(entry))
    if folder:
        print(f"folder      {folder}")
    else:
        print(f"not on this machine: crumb pull {name}")
    if contract:
        print(f"\n{contract.describe()}")


def _look_up(name: str) -> tuple[Entry | None, Path | None]:
    """The catalogue's entry and the folder on this machine; one of them may be None.

    Raises:
        ModelNotFoundError: both are.
    """
    from crumb.store.names import request
    from crumb.store.resolve import resolve

    try:
        folder = resolve(name, fetch=False)
    except ModelNotFoundError:
        # A name that means nothing fails here again, and that is the answer.
        return request(name).entry, None
    try:
        entry = request(name).entry
    except ModelNotFoundError:
        entry = None
    return entry, folder


def _describe(entry: Entry) -> str:
    lines = [
        f"{entry.name}",
        f"licence     {entry.licence}",
        f"parameters  {f'{entry.parameters:,}' if entry.parameters else 'not known'}",
        f"dimensions  {entry.dimensions}",
        f"context     {entry.context} tokens",
        f"languages   {', '.join(entry.languages)}",
    ]
    lines += [f"source      {source}" for source in entry.sources]
    if not entry.runs:
        lines.append(f"not run yet {entry.note}")
    return "\n".join(lines)


def _facts(entry: Entry, folder: Path | None) -> dict[str, Any]:
    """The entry as plain data."""
    return {
        "name": entry.name,
        "aliases": list(entry.aliases),
        "licence": entry.licence,
        "parameters": entry.parameters,
        "dimensions": entry.dimensions,
        "context": entry.context,
        "languages": list(entry.languages),
        "sources": [
            {"kind": type(source).__name__.removesuffix("Source").lower()}
            | {key: str(value) if isinstance(value, Path) else value for key, value in asdict(source).items()}
            for source in entry.sources
        ],
        "runs": entry.runs,
        "note": entry.note,
        "folder": str(folder) if folder else None,
    }


def _millions(parameters: int | None) -> str:
    return "?" if parameters is None else f"{parameters / 1e6:.1f}M"
