"""What tests share with training texts, as tables.

Enters: `Contamination`. Leaves: blocks of a page. Knows nothing of how it was found.
"""

from __future__ import annotations

from crumb.evaluation.contamination import Contamination
from crumb.evaluation.report.blocks import Block, Paragraph, table
from crumb.evaluation.report.words import percent

_SIDE = ["task", "side", "texts"]


def shared_blocks(found: Contamination) -> list[Block]:
    """Counts for each side of each task, and the texts that are covered most."""
    n = found.n
    rows, examples = [], []
    for task, sides in found.tasks.items():
        for side, o in sides.items():
            counts = (o.shared, o.half, o.verbatim)
            shares = [f"{count:,} ({percent(count / o.texts)})" if o.texts else "" for count in counts]
            rows.append([task, side, f"{o.texts:,}", f"{o.short:,}", *shares])
            examples += [[task, side, e.id, percent(e.covered), e.words, e.at] for e in o.examples]
    blocks: list[Block] = [
        Paragraph(
            f"Test texts beside {found.texts:,} training texts of {found.words:,} words. A test text is shared if {n} "
            "of its words follow one another in a training text too, half covered if such runs have half of its words "
            f"or more, verbatim if all of it stands in one; of texts shorter than {n} words only those count that are "
            "a whole training text."
        ),
        table(
            "Test texts that occur in training texts",
            [*_SIDE, f"shorter than {n} words", "shared", "half covered", "verbatim"],
            rows,
            words=["side"],
        ),
    ]
    if examples:
        columns = ["task", "side", "id", "covered", "longest run of words", "first seen in"]
        words = ["side", "id", "longest run of words", "first seen in"]
        blocks.append(table("The texts that are covered most", columns, examples, words=words, folded=True))
    files = [[file, f"{lines:,}"] for file, lines in found.files.items()]
    blocks.append(table("Training files that were read", ["file", "lines"], files, folded=True))
    return blocks
