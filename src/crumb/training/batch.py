"""What one step of training sees, before any text is tokenised.

Enters: nothing. Leaves: `Example` and `Batch`, which data/ makes and the trainer consumes. Knows nothing of files,
tokenizers or torch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Example:
    """One row of training data.

    Attributes:
        query, positive: two texts that belong together; of a graded pair, its first and second text.
        negatives: hard negatives of the query, best (hardest) first.
        label: how well the two texts agree, where the row is a graded pair; higher is closer.
        scores: a teacher's score of the query with the positive and with each negative, 1 + len(negatives) of them.
        source: the name of the data set; a batch holds examples of one source.
        group: at most one example of a group enters a batch (near-duplicates, one entity's questions); None for no
            such bound.
        row: the row's number in its source, from 0: its place in files of vectors that belong to the source.
        place: file and line, for messages.
    """

    query: str
    positive: str
    negatives: tuple[str, ...] = ()
    label: float | None = None
    scores: tuple[float, ...] | None = None
    source: str = ""
    group: str | None = None
    row: int = 0
    place: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """Examples of one source that are trained on together.

    `k`, the number of negatives, is the same for all examples of a batch (0 where there are none); either all or none
    have labels, and scores.

    Attributes:
        step: the batch's number in the run, from 0: what comes is decided by the seed and this number.
        source: where its examples come from.
        examples: `n` of them.
        teacher_queries, teacher_positives: a teacher's vectors of the texts, float32 [n, t], unit length, where the
            source has them.
    """

    step: int
    source: str
    examples: tuple[Example, ...]
    teacher_queries: Floats | None = None
    teacher_positives: Floats | None = None

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def negatives(self) -> int:
        """Hard negatives an example."""
        return len(self.examples[0].negatives)

    def texts(self) -> list[str]:
        """All texts, in the order of the encoder's rows: n queries, n positives, then k negatives of each example."""
        queries = [example.query for example in self.examples]
        positives = [example.positive for example in self.examples]
        return queries + positives + [text for example in self.examples for text in example.negatives]

    def labels(self) -> Floats | None:
        """Labels, float32 [n], or None."""
        if self.examples[0].label is None:
            return None
        return np.array([example.label for example in self.examples], dtype=np.float32)

    def scores(self) -> Floats | None:
        """The teacher's scores, float32 [n, 1 + k], or None."""
        if self.examples[0].scores is None:
            return None
        return np.array([example.scores for example in self.examples], dtype=np.float32)
