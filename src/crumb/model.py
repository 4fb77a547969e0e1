"""Texts in, vectors out.

Enters: a model's folder (through store and checkpoint) and texts. Leaves: float32 vectors and a report of what was cut.
Knows the order of things (prompt, tokens, context, layers, pooling, dimensions, length) and does none of them itself.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args, overload

import numpy as np
import numpy.typing as npt

from crumb.checkpoint import Contract
from crumb.checkpoint.extras import CALIBRATION, read_section, read_shipped
from crumb.checkpoint.weights import read_weights
from crumb.engine.encoder import Engine
from crumb.engine.precision import Precision
from crumb.engine.threads import check_threads
from crumb.errors import CheckpointError, TruncationError, TruncationWarning
from crumb.progress import bar
from crumb.text.inputs import checked, windows
from crumb.text.tokenizer import Tokenizer
from crumb.text.truncate import Ragged, fit
from crumb.vectors.normalize import Floats, cut, normalize
from crumb.vectors.quantize import Ranges

if TYPE_CHECKING:
    from crumb.vectors.calibrate import Calibration

Truncation = Literal["warn", "error", "start", "end"]


@dataclass(frozen=True)
class EncodeReport:
    """What one call did: `texts` and `tokens` encoded (special tokens included), and what the context took away."""

    texts: int = 0
    tokens: int = 0
    truncated_texts: int = 0
    tokens_cut: int = 0

    def __add__(self, other: EncodeReport) -> EncodeReport:
        return EncodeReport(
            self.texts + other.texts,
            self.tokens + other.tokens,
            self.truncated_texts + other.truncated_texts,
            self.tokens_cut + other.tokens_cut,
        )


class Batch(NamedTuple):
    """Texts ready for the engine: a `Ragged` batch, and the first token of each that pooling takes in.

    `ids` int32 [tokens] and `offsets` int64 [texts + 1], special tokens included; `cut` tokens lost of each text;
    `first_pooled` int32 [texts], None where pooling takes in all.
    """

    ids: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    cut: list[int]
    first_pooled: npt.NDArray[np.int32] | None = None


class Model:
    """A loaded model. Safe to use from many threads at once, and in processes forked after loading.

    Attributes:
        contract: everything that shapes its vectors.
        tokenizer: its tokenizer.
        engine: its encoder.
    """

    def __init__(
        self,
        contract: Contract,
        *,
        threads: int | None = None,
        isa: str | None = None,
        precision: Precision = "auto",
    ) -> None:
        self.contract = contract
        self.tokenizer = Tokenizer(contract.folder, lowercase=contract.lowercase)
        if self.tokenizer.vocabulary > contract.vocabulary:
            raise CheckpointError(
                f"{contract.folder}: the tokenizer knows {self.tokenizer.vocabulary} tokens, the embeddings only "
                f"{contract.vocabulary}"
            )
        specials = self.tokenizer.prefix + self.tokenizer.suffix
        if specials and max(specials) >= contract.vocabulary:
            raise CheckpointError(
                f"{contract.folder}: the tokenizer puts the token {max(specials)} around every text, but the "
                f"embeddings have {contract.vocabulary}"
            )
        if contract.context <= self.tokenizer.n_special:
            raise ValueError(
                f"context={contract.context} leaves no room beside {self.tokenizer.n_special} special tokens"
            )
        self.engine = Engine(read_weights(contract), isa=isa, precision=precision, threads=threads)

    def __repr__(self) -> str:
        c = self.contract
        return f"<crumb.Model {c.name}: {c.dimensions} dimensions, {c.layers} layers, context {c.context}>"

    @property
    def name(self) -> str:
        """What the model is called."""
        return self.contract.name

    @property
    def dimensions(self) -> int:
        """Components of a full vector."""
        return self.contract.dimensions

    @property
    def context(self) -> int:
        """Longest input in tokens, special tokens included."""
        return self.contract.context

    @property
    def fingerprint(self) -> str:
        """Equal fingerprints mean that the same text gets the same vector (up to the kernels' rounding)."""
        return self.contract.fingerprint

    def ranges(self, dimensions: int | None = None) -> Ranges:
        """The ranges of this model's vectors, for codes of a byte a dimension (crumb.vectors.quantize).

        They were measured once, over texts that are not those at hand, so that a vector's codes do not depend on its
        neighbours: by `crumb calibrate`, which keeps them with the model; else by crumb for the weights that it knows.

        Args:
            dimensions: of vectors that are cut to so many; None for full ones.

        Raises:
            CheckpointError: the model was never calibrated.
            ValueError: `dimensions` is out of range.
        """
        if self._calibration is None:
            raise CheckpointError(
                f"{self.name} has no ranges of its dimensions yet: crumb calibrate {self.name} TEXTS… measures them "
                "over texts like yours, and keeps them with the model"
            )
        return self._calibration.ranges(dimensions)

    @cached_property
    def _calibration(self) -> Calibration | None:
        # here and not above: a process that asks for no codes needs none of it
        from crumb.vectors.calibrate import Calibration

        folder, weights = self.contract.folder, self.contract.weight_files
        found = read_section(folder, CALIBRATION) or read_shipped(folder / weights[0], CALIBRATION)
        return None if found is None else Calibration.from_dict(found)

    def prepare(
        self,
        texts: Sequence[str],
        *,
        prefix: str = "",
        truncation: Truncation = "end",
        threads: int | None = None,
        counted: bool = True,
        first: int = 0,
    ) -> Batch:
        """Tokens of texts, ready for `pooled`: the first half of `encode`, for whoever forms batches of its own.

        Args:
            texts: each a str.
            prefix: put before every text (`resolve_prompt`).
            truncation: as for `encode`, but "warn" warns of nothing.
            threads: for this call only.
            counted: False where nobody asks how much was cut: the tokenizer may then stop early.
            first: the number of the first text, for a message.

        Raises:
            TruncationError: with truncation="error", naming the first text that is too long.
        """
        threads = self.engine.threads if threads is None else check_threads(threads)
        kept = self.tokenizer.count([prefix])[0] if prefix else 0
        prompted = [prefix + text for text in texts] if prefix else texts
        batch = self._tokens(prompted, first, truncation, kept, threads, counted)
        skipped = None if self.contract.include_prompt or not prefix else self._first_pooled(batch, kept)
        return Batch(batch.ids, batch.offsets, batch.cut, skipped)

    def pooled(self, batch: Batch, *, layers: int | None = None, threads: int | None = None) -> Floats:
        """Vectors of prepared texts, float32 [n, dimensions], neither cut nor normalised: the second half of `encode`.

        Raises:
            ValueError: `layers` is out of range, or a vector is not finite.
        """
        found: Floats = self._pooled(batch, [self.contract.layers if layers is None else layers], threads)[0]
        return found

    def check_layers(self, layers: int | None) -> None:
        """Refuses a number of layers that the model does not have.

        Raises:
            ValueError: it is no whole number from 1 to the model's.
        """
        if layers is not None and (isinstance(layers, bool) or not 1 <= layers <= self.contract.layers):
            raise ValueError(f"layers must be a whole number from 1 to {self.contract.layers}, got {layers!r}")

    @overload
    def encode(
        self,
        texts: str | Iterable[str],
        *,
        prompt: str | None = ...,
        prompt_name: str | None = ...,
        dimensions: int | None = ...,
        layers: int | None = ...,
        normalized: bool = ...,
        truncation: Truncation = ...,
        progress: bool | None = ...,
        threads: int | None = ...,
        return_report: Literal[False] = ...,
    ) -> Floats: ...

    @overload
    def encode(
        self,
        texts: str | Iterable[str],
        *,
        prompt: str | None = ...,
        prompt_name: str | None = ...,
        dimensions: int | None = ...,
        layers: int | None = ...,
        normalized: bool = ...,
        truncation: Truncation = ...,
        progress: bool | None = ...,
        threads: int | None = ...,
        return_report: Literal[True],
    ) -> tuple[Floats, EncodeReport]: ...

    def encode(
        self,
        texts: str | Iterable[str],
        *,
        prompt: str | None = None,
        prompt_name: str | None = None,
        dimensions: int | None = None,
        layers: int | None = None,
        normalized: bool = True,
        truncation: Truncation = "warn",
        progress: bool | None = None,
        threads: int | None = None,
        return_report: bool = False,
    ) -> Floats | tuple[Floats, EncodeReport]:
        """Vectors of texts.

        Args:
            texts: one text, or any iterable of texts (a generator is consumed window by window).
            prompt: put before every text; None for `prompt_name`'s, or the contract's default; "" for none.
            prompt_name: a name among `contract.prompts`.
            dimensions: keep the first so many (Matryoshka), normalised again; None for all.
            layers: run the first so many layers and pool there; None for all.
            normalized: scale every vector to unit length.
            truncation: what to do with texts longer than the context: "warn" cuts the end and warns once with the
                counts, "error" refuses, "end" and "start" cut there, as the caller knows. The report counts in every
                case.
            progress: a bar on stderr; None for one on long work at a terminal.
            threads: for this call only.
            return_report: also return an `EncodeReport`.

        Returns:
            float32 [n, dimensions], or [dimensions] for a single str. A text's bits depend on the text, the model and
            the kernels only: not on the other texts, their order or the number of threads.

        Raises:
            TypeError: a text is not a str; the message names its index.
            ValueError: an argument is out of range or unknown.
            TruncationError: with truncation="error", naming the first text that is too long.
        """
        prefix = self.resolve_prompt(prompt, prompt_name)
        self.check_layers(layers)
        # only who sees no count of what is cut may spare the tokenizer what lies behind it
        counted = return_report or truncation != "end"
        threads = self.engine.threads if threads is None else check_threads(threads)
        exits = [self.contract.layers if layers is None else layers]
        found, report = self._encode(
            texts, prefix, exits, dimensions, normalized, truncation, counted, progress, threads
        )
        result = found[0, 0] if isinstance(texts, str) else found[0]
        return (result, report) if return_report else result

    def encode_layers(
        self,
        texts: str | Iterable[str],
        layers: Sequence[int] | None = None,
        *,
        prompt: str | None = None,
        prompt_name: str | None = None,
        dimensions: int | None = None,
        normalized: bool = True,
        truncation: Truncation = "warn",
        progress: bool | None = None,
        threads: int | None = None,
    ) -> tuple[Floats, EncodeReport]:
        """Vectors of texts after each of several layers, from one pass: it costs what the deepest of them costs.

        Args:
            texts: one text, or any iterable of texts.
            layers: after how many layers to pool, rising; None for 1, 2, … all.
            prompt, prompt_name, dimensions, normalized, truncation, progress, threads: as for `encode`.

        Returns:
            float32 [len(layers), n, dimensions], or [len(layers), dimensions] for a single str, and the report; [i]
            has the bits of `encode` with layers=layers[i].

        Raises:
            TypeError, ValueError, TruncationError: as `encode`; ValueError also for layers that do not rise.
        """
        prefix = self.resolve_prompt(prompt, prompt_name)
        exits = list(range(1, self.contract.layers + 1) if layers is None else layers)
        for i, exit in enumerate(exits):
            self.check_layers(exit)
            if i and exit <= exits[i - 1]:
                raise ValueError(f"layers must rise, got {exits}")
        if not exits:
            raise ValueError(f"layers must name at least one of 1 to {self.contract.layers}, got none")
        threads = self.engine.threads if threads is None else check_threads(threads)
        found, report = self._encode(texts, prefix, exits, dimensions, normalized, truncation, True, progress, threads)
        return (found[:, 0] if isinstance(texts, str) else found), report

    def resolve_prompt(self, prompt: str | None, prompt_name: str | None) -> str:
        """The text that goes before every text: `prompt`, or `prompt_name`'s, or the contract's default, or "".

        Raises:
            TypeError: `prompt` is not a str.
            ValueError: both are given, or the model has no prompt of that name.
        """
        if prompt is not None:
            if prompt_name is not None:
                raise ValueError(f"give prompt or prompt_name, not both (got {prompt!r} and {prompt_name!r})")
            if not isinstance(prompt, str):
                raise TypeError(f"prompt must be a str, got {type(prompt).__name__}")
            return prompt
        name = self.contract.default_prompt_name if prompt_name is None else prompt_name
        if name is None:
            return ""
        if name not in self.contract.prompts:
            known = ", ".join(map(repr, self.contract.prompts)) or "none"
            raise ValueError(f"{self.name} has no prompt {name!r}; it has {known}")
        return self.contract.prompts[name]

    def _encode(
        self,
        texts: str | Iterable[str],
        prefix: str,
        layers: Sequence[int],
        dimensions: int | None,
        normalized: bool,
        truncation: Truncation,
        counted: bool,
        progress: bool | None,
        threads: int,
    ) -> tuple[Floats, EncodeReport]:
        """Vectors float32 [len(layers), n, dimensions] of texts, window by window."""
        if truncation not in get_args(Truncation):
            raise ValueError(f"unknown truncation {truncation!r}; choose {', '.join(map(repr, get_args(Truncation)))}")
        width = cut(np.empty((0, self.dimensions), dtype=np.float32), dimensions).shape[1]
        parts = [np.empty((len(layers), 0, width), dtype=np.float32)]
        report = EncodeReport()
        total = len(texts) if isinstance(texts, Sequence) and not isinstance(texts, str) else None
        with bar(total, "encoding", "texts", progress) as shown:
            for window in windows(checked(texts), len):
                batch = self.prepare(
                    window, prefix=prefix, truncation=truncation, threads=threads, counted=counted, first=report.texts
                )
                part = cut(self._pooled(batch, layers, threads), dimensions)
                parts.append(normalize(part.reshape(-1, width)).reshape(part.shape) if normalized else part)
                lost = [n for n in batch.cut if n]
                report += EncodeReport(len(window), len(batch.ids), len(lost), sum(lost))
                shown.update(len(window))
        if report.truncated_texts and truncation == "warn":  # at the line that called encode or encode_layers
            warnings.warn(self._truncation_message(report), TruncationWarning, stacklevel=3)
        return np.concatenate(parts, axis=1), report

    def _pooled(self, batch: Batch, layers: Sequence[int], threads: int | None) -> Floats:
        return self.engine.encode_layers(
            batch.ids,
            batch.offsets,
            layers,
            pooling=self.contract.pooling,
            first_pooled=batch.first_pooled,
            threads=threads,
        )

    def _first_pooled(self, batch: Ragged, prompt_tokens: int) -> npt.NDArray[np.int32]:
        # sentence-transformers' rule: the tokens of the prompt and those before it stay out
        lengths = np.diff(batch.offsets)
        first = np.minimum(len(self.tokenizer.prefix) + prompt_tokens, lengths - 1)
        return np.asarray(first, dtype=np.int32)

    def _tokens(
        self, texts: Sequence[str], done: int, truncation: Truncation, prompt_tokens: int, threads: int, counted: bool
    ) -> Ragged:
        enough = None if counted else self.context - self.tokenizer.n_special
        batch = fit(
            *self.tokenizer.ragged(texts, threads=threads, enough=enough),
            context=self.context,
            side="start" if truncation == "start" else "end",
            prefix=self.tokenizer.prefix,
            suffix=self.tokenizer.suffix,
            keep=prompt_tokens,
        )
        if truncation == "error":
            for i, lost in enumerate(batch.cut):
                if lost:
                    raise TruncationError(
                        f"text {done + i} has {self.context + lost} tokens, {lost} more than the context of "
                        f"{self.context}; split it, load the model with a larger context, or choose another truncation"
                    )
        return batch

    def _truncation_message(self, report: EncodeReport) -> str:
        return (
            f"{report.truncated_texts} of {report.texts} texts were longer than the context of {self.context} tokens "
            f"and lost {report.tokens_cut} tokens at their end; split them, load the model with a larger context, or "
            f'say that it is meant with truncation="end"'
        )
