"""A crumb model as mteb's evaluation wants one (mteb 2: `mteb.models.EncoderProtocol`).

Enters: a model and a `Setting`. Leaves: an object for `mteb.evaluate`. Knows how mteb asks and nothing of its tasks or
scores. mteb itself is imported only to describe the model, so loading one costs none of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from crumb.checkpoint.context import Positions
from crumb.engine.precision import Precision
from crumb.errors import MissingExtraError
from crumb.evaluation.embed import prompts
from crumb.evaluation.measure import load_for
from crumb.evaluation.readings import read_documents
from crumb.evaluation.settings import Reading, Setting
from crumb.model import EncodeReport, Model
from crumb.vectors.normalize import Floats, cut, normalize

if TYPE_CHECKING:
    from mteb.abstasks.task_metadata import TaskMetadata
    from mteb.models import ModelMeta
    from mteb.types import PromptType

# what mteb may pass on to `encode`: a text's bits depend on neither of the first two
_ENCODE_KWARGS = ("batch_size", "show_progress_bar", "precision")


def mteb_model(
    model: str | Path | None = None,
    *,
    name: str | None = None,
    context: int | None = None,
    positions: Positions | None = None,
    precision: Precision = "float32",
    layers: int | None = None,
    dimensions: int | None = None,
    reading: Reading = "whole",
    chunk: int = 512,
    query_prompt: str | None = None,
    passage_prompt: str | None = None,
    threads: int | None = None,
) -> MtebModel:
    """A model for `mteb.evaluate(crumb.mteb_model(...), tasks=...)`.

    Args:
        model: a catalogue name, a folder, or a Hub id that was pulled; None for the default model.
        name: "organisation/model" for mteb's result files; None for "crumb/<the model's name>".
        context, positions, precision, layers, dimensions, reading, chunk, query_prompt, passage_prompt: as in
            `crumb.evaluation.settings.Setting`. A prompt that is not given is what the model has for mteb's task, type
            of task or kind of text, in mteb's order.
        threads: threads a call uses.

    Raises:
        CrumbError, ValueError: as `crumb.load`; or `reading` is "chunk-best", which is not one vector a document.
    """
    if reading == "chunk-best":
        raise ValueError("reading='chunk-best' gives a document several vectors, and mteb takes one; use 'chunk-mean'")
    setting = Setting(
        context=context,
        positions=positions,
        precision=precision,
        layers=layers,
        dimensions=dimensions,
        reading=reading,
        chunk=chunk,
        query_prompt=query_prompt,
        passage_prompt=passage_prompt,
    )
    return MtebModel(load_for(model, setting, threads), setting, name)


class MtebModel:
    """Answers mteb's `EncoderProtocol`. Long texts are cut at the context, as every encoder there does: see `report`.

    Attributes:
        model: loaded for the setting.
        setting: how texts become vectors.
        name: what result files call it.
        report: texts and tokens encoded so far, and what the context took away from them.
    """

    def __init__(self, model: Model, setting: Setting, name: str | None = None) -> None:
        if name is not None and name.count("/") != 1:
            raise ValueError(f"mteb wants names of the form organisation/model, got {name!r}")
        model.check_layers(setting.layers)
        cut(np.empty((0, model.dimensions), dtype=np.float32), setting.dimensions)
        self.model = model
        self.setting = setting
        self.name = f"crumb/{model.name.replace('/', '__')}" if name is None else name
        self.report = EncodeReport()

    def encode(
        self,
        inputs: Iterable[Mapping[str, Any]],
        *,
        task_metadata: TaskMetadata,
        hf_split: str,
        hf_subset: str,
        prompt_type: PromptType | None = None,
        **kwargs: Any,
    ) -> Floats:
        """Vectors of texts, float32 [n, dimensions], of unit length.

        Args:
            inputs: batches with the texts under "text"; how they are cut into batches changes nothing.
            task_metadata: of the task, which may have a prompt of its own.
            hf_split, hf_subset: not used.
            prompt_type: whether these are queries or documents; None where a task knows no such difference (texts are
                then given the prompt of queries, as in `crumb eval`).
            **kwargs: mteb's `EncodeKwargs`.

        Raises:
            TypeError: an argument that mteb does not document.
            ValueError: embeddings of another precision than float32 are asked for.
        """
        unknown = [key for key in kwargs if key not in _ENCODE_KWARGS]
        if unknown:
            raise TypeError(f"encode() got {', '.join(unknown)}; it knows {', '.join(_ENCODE_KWARGS)}")
        if kwargs.get("precision") not in (None, "float32"):
            raise ValueError(f"vectors are float32, got precision={kwargs['precision']!r}; crumb eval measures codes")
        prompt = self._prompt(task_metadata, prompt_type)
        setting = self.setting
        if prompt_type is not None and prompt_type.value == "document":
            rows, _, report = read_documents(self.model, list(_texts(inputs)), setting, prompt)
        else:
            progress = None if kwargs.get("show_progress_bar", True) else False
            rows, report = self.model.encode(
                _texts(inputs),
                prompt=prompt,
                layers=setting.layers,
                truncation="end",
                progress=progress,
                return_report=True,
            )
        self.report += report
        return rows if setting.dimensions is None else normalize(cut(rows, setting.dimensions))

    def similarity(self, embeddings1: npt.ArrayLike, embeddings2: npt.ArrayLike) -> Floats:
        """Cosines, float32 [n, m]; equal vectors have equal ones.

        Raises:
            ValueError: different numbers of dimensions.
        """
        left, right = np.atleast_2d(normalize(embeddings1)), np.atleast_2d(normalize(embeddings2))
        if left.shape[1] != right.shape[1]:
            raise ValueError(f"the vectors have different sizes: {left.shape[1]} and {right.shape[1]} dimensions")
        # Summed in float64: in float32 a matrix product rounds a pair by where it stands, and then it is chance which
        # of two documents with the same text comes first, where trec_eval and crumb's scorer have a rule.
        return np.asarray(left.astype(np.float64) @ right.astype(np.float64).T, dtype=np.float32)

    def similarity_pairwise(self, embeddings1: npt.ArrayLike, embeddings2: npt.ArrayLike) -> Floats:
        """Cosines of rows of the same number, float32 [n].

        Raises:
            ValueError: different shapes.
        """
        left, right = np.atleast_2d(normalize(embeddings1)), np.atleast_2d(normalize(embeddings2))
        if left.shape != right.shape:
            raise ValueError(f"expected vectors in pairs, got shapes {list(left.shape)} and {list(right.shape)}")
        return np.asarray(np.einsum("nd,nd->n", left, right, dtype=np.float64), dtype=np.float32)

    @cached_property
    def mteb_model_meta(self) -> ModelMeta:
        """What mteb writes beside its results; its cache keeps settings and weights apart by it.

        Raises:
            MissingExtraError: mteb is not installed.
        """
        try:
            from mteb.models import ModelMeta
        except ImportError as error:
            raise MissingExtraError(f'this needs mteb: pip install "crumb-embed[mteb]" ({error})') from None
        contract = self.model.contract
        has_prompts = bool(contract.prompts or self.setting.query_prompt or self.setting.passage_prompt)
        return ModelMeta.create_empty(
            overwrites={
                "name": self.name,
                "revision": self.model.fingerprint,
                "max_tokens": self.model.context,
                "embed_dim": self.setting.dimensions or self.model.dimensions,
                "framework": ["NumPy"],
                "similarity_fn_name": "cosine",
                "use_instructions": has_prompts,
                "experiment_kwargs": self.setting.as_dict() or None,
            }
        )

    def _prompt(self, task: TaskMetadata, prompt_type: PromptType | None) -> str:
        """What was asked for; else the model's own for this task, this type of task, or this kind of text."""
        query, passage = prompts(self.model, self.setting)
        document = prompt_type is not None and prompt_type.value == "document"
        if (self.setting.passage_prompt if document else self.setting.query_prompt) is None:
            known = self.model.contract.prompts
            for subject in (task.name, task.type):
                keys = (subject,) if prompt_type is None else (f"{subject}-{prompt_type.value}", subject)
                for key in keys:
                    if key in known:
                        return known[key]
        return passage if document else query


def _texts(inputs: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for batch in inputs:
        yield from batch["text"]
