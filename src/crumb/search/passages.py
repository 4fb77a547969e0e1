"""A model's way with passages: how a document is cut for it, and with which prompts it reads questions and passages.

Enters: a model, documents, questions. Leaves: passages that fit the model's context, and vectors. Knows nothing of
where texts come from or where vectors are kept.

Prompts: a question gets the model's prompt named "query", passages the one named "document", "passage" or "corpus";
where the model has no such prompt, its default prompt, and where it has none, nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from crumb.model import EncodeReport, Model, Truncation
from crumb.text.chunk import Passage, chunk
from crumb.text.structure import Kind
from crumb.vectors.normalize import Floats

QUERY_PROMPTS = ("query",)
PASSAGE_PROMPTS = ("document", "passage", "corpus")
MOST_PASSAGE_TOKENS = 256  # special tokens and prompt included; a larger context does not make larger passages better


class PassageReader:
    """Cuts and embeds for one model.

    Attributes:
        prompt, query_prompt: what goes before a passage, and before a question.
        budget: most tokens of a passage, prompt and special tokens not counted.
        overlap: most tokens that a passage repeats of the one before it.

    Raises:
        ValueError: `budget` is more than the context holds; or see `crumb.text.chunk.chunk`.
    """

    def __init__(
        self, model: Model, *, budget: int | None = None, overlap: int = 0, dimensions: int | None = None
    ) -> None:
        self._model = model
        self._dimensions = dimensions
        self.overlap = overlap
        self.prompt = _prompt(model, PASSAGE_PROMPTS)
        self.query_prompt = _prompt(model, QUERY_PROMPTS)
        self._prompt_tokens = model.tokenizer.count([self.prompt])[0]
        taken = model.tokenizer.n_special + self._prompt_tokens
        most = model.context - taken
        if budget is not None and budget > most:
            raise ValueError(
                f"passages of {budget} tokens do not fit the context of {model.context}, of which {taken} go to prompt "
                f"and special tokens; ask for at most {most}, or load the model with a larger context"
            )
        if isinstance(overlap, bool) or overlap < 0:
            raise ValueError(f"overlap must be a whole number of at least 0, got {overlap!r}")
        self.budget = min(model.context, MOST_PASSAGE_TOKENS) - taken if budget is None else budget

    def passages(self, text: str, kind: Kind) -> list[Passage]:
        """The passages of a document; see `crumb.text.chunk.chunk`."""
        return chunk(
            text,
            kind,
            budget=self.budget,
            count=self._count,
            offsets=self._model.tokenizer.offsets,
            overlap=self.overlap,
        )

    def vectors(
        self, texts: Sequence[str], truncation: Truncation = "error", threads: int | None = None
    ) -> tuple[Floats, EncodeReport]:
        """Unit vectors of passages, float32 [len(texts), dimensions]. Passages are made to fit: one that does not would
        be our mistake, and must not pass in silence, unless `truncation` says that it may.
        """
        return self._model.encode(
            texts,
            prompt=self.prompt,
            dimensions=self._dimensions,
            truncation=truncation,
            progress=False,
            threads=threads,
            return_report=True,
        )

    def query_vector(self, question: str, truncation: Truncation = "end") -> tuple[Floats, EncodeReport]:
        """The unit vector of a question, float32 [dimensions]."""
        vectors, report = self._model.encode(
            [question],
            prompt=self.query_prompt,
            dimensions=self._dimensions,
            truncation=truncation,
            progress=False,
            return_report=True,
        )
        return vectors[0], report

    def _count(self, texts: Sequence[str]) -> list[int]:
        """Tokens each text adds behind the prompt, with which it may share one."""
        if not self.prompt:
            return self._model.tokenizer.count(texts)
        return [n - self._prompt_tokens for n in self._model.tokenizer.count([self.prompt + text for text in texts])]


def _prompt(model: Model, names: Sequence[str]) -> str:
    contract = model.contract
    name = next((name for name in names if name in contract.prompts), contract.default_prompt_name)
    return "" if name is None else contract.prompts[name]
