"""The bodies of requests and answers, as the OpenAPI document shows them.

Enters: JSON. Leaves: checked requests. Knows the shape of a field, not the limits that an operator sets nor what a
model can do. Unknown fields are ignored and null means the default, because the official clients send both.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

EncodingFormat = Literal["float", "float16", "base64", "binary", "ubinary", "int8", "uint8"]
TruncationStrategy = Literal["start", "end", "none"]
Code = Literal["float", "int8", "binary"]

_FORMATS = ("float", "float16", "base64", "binary", "ubinary", "int8", "uint8")


def _texts(value: Any) -> Any:
    """One message where a union would give one for each of its members."""
    if isinstance(value, str):
        if not value:
            raise PydanticCustomError("empty", "a single text must not be empty (inside a list it may be)")
        return value
    if not isinstance(value, list):
        raise PydanticCustomError("texts", "must be a text or a list of texts")
    if not value:
        raise PydanticCustomError("empty", "must have at least one text")
    for index, item in enumerate(value):
        if isinstance(item, str):
            continue
        if isinstance(item, int | list):
            raise PydanticCustomError(
                "token_ids",
                "item {index} is no text; token ids are not accepted, because they mean other words to another "
                "tokenizer: send texts (LangChain's OpenAIEmbeddings: check_embedding_ctx_length=False)",
                {"index": index},
            )
        raise PydanticCustomError("texts", "item {index} is no text", {"index": index})
    return value


def _formats(value: Any) -> Any:
    asked = value if isinstance(value, list) else [value]
    if not asked or any(not isinstance(item, str) or item not in _FORMATS for item in asked):
        raise PydanticCustomError(
            "encoding_format", "must be one of {known}, or a list of them", {"known": ", ".join(_FORMATS)}
        )
    return value


def _whole(value: Any) -> Any:
    """256.0 is a whole number to JSON, though not to Python."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Texts = Annotated[
    Annotated[str, Field(min_length=1)] | Annotated[list[str], Field(min_length=1)],
    BeforeValidator(
        _texts, json_schema_input_type=Annotated[str, Field(min_length=1)] | Annotated[list[str], Field(min_length=1)]
    ),
]
Model = Annotated[str, Field(min_length=1, max_length=500, description="A name from GET /v1/models.")]
Prompt = Annotated[str | None, Field(description="Put before every text, and counted in usage.")]
Count = Annotated[int, Field(gt=0, strict=True), BeforeValidator(_whole)]
Layers = Annotated[Count | None, Field(description="Run the first so many layers; null for all. crumb's own.")]
Dimensions = Annotated[
    Count | None, Field(description="Keep the first so many components, normalised again; null for all.")
]


class TextsRequest(BaseModel):
    """Texts for a model: what every request that encodes begins with."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=())

    model: Model
    input: Texts
    prompt: Prompt = None
    truncation_strategy: Annotated[
        TruncationStrategy | None, Field(description="Where a text that is too long is cut; none refuses it.")
    ] = "end"

    def texts_of(self, name: str = "input") -> list[str]:
        """The texts of a field, one being a list of one."""
        value: str | list[str] = getattr(self, name)
        return [value] if isinstance(value, str) else value


class EmbeddingRequest(TextsRequest):
    """What to embed, and how the vectors are wanted."""

    dimensions: Dimensions = None
    normalized: Annotated[
        bool | None,
        Field(
            validation_alias=AliasChoices("normalized", "normalize"),
            description="Unit length; null for the default, true.",
        ),
    ] = True
    encoding_format: Annotated[
        EncodingFormat | Annotated[list[EncodingFormat], Field(min_length=1)] | None,
        BeforeValidator(lambda value: value if value is None else _formats(value)),
        Field(description="How a vector is written; a list for several at once."),
    ] = "float"
    layers: Layers = None


class SimilarityRequest(TextsRequest):
    """Texts to compare with one another, or with others."""

    against: Annotated[Texts | None, Field(description="Texts to compare with; null for the input itself.")] = None
    dimensions: Dimensions = None
    layers: Layers = None
    code: Annotated[Code | None, Field(description="How the texts compared with are kept; queries stay exact.")] = (
        "float"
    )
    against_prompt: Prompt = None


class TokenizeRequest(TextsRequest):
    """Texts whose tokens are wanted; truncation "none" marks what "end" would cut."""


class Usage(BaseModel):
    """Tokens read, special tokens and prompt included."""

    prompt_tokens: int
    total_tokens: int
    completion_tokens: int | None = None


class Cut(BaseModel):
    """A text that was longer than the context: it has `tokens`, of which `cut` were not read."""

    index: int
    tokens: int
    cut: int


class Embedding(BaseModel):
    """A vector in one form."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | list[int] | str


class EmbeddingDict(BaseModel):
    """A vector in several forms."""

    object: Literal["embedding_dict"] = "embedding_dict"
    index: int
    embedding: dict[EncodingFormat, list[float] | list[int] | str]


class EmbeddingAnswer(BaseModel):
    """Vectors in the order of the input."""

    object: Literal["list"] = "list"
    model: str
    data: list[Embedding] | list[EmbeddingDict]
    usage: Usage
    normalized: bool
    encoding_format: EncodingFormat | list[EncodingFormat]
    dimensions: int
    truncated: list[Cut]


class CutOf(Cut):
    """A text of one of the two lists that was longer than the context."""

    list: Literal["input", "against"]


class SimilarityAnswer(BaseModel):
    """Cosines, a row for each text of the input; `bytes` is what a vector takes up in that code."""

    object: Literal["similarity"] = "similarity"
    model: str
    scores: list[list[float]]
    dimensions: int
    layers: int
    code: Code
    bytes: int
    usage: Usage
    truncated: list[CutOf]


class Token(BaseModel):
    """A token, where it lies in prompt and text (characters `start` to `end` - 1), and whether the model reads it."""

    id: int
    text: str
    start: int
    end: int
    kept: bool


class Tokenized(BaseModel):
    """One text: `count` tokens with prompt and special tokens, of which `cut` are not read."""

    index: int
    count: int
    cut: int
    tokens: list[Token]


class TokenizeAnswer(BaseModel):
    """Tokens of every text."""

    object: Literal["list"] = "list"
    model: str
    context: int
    data: list[Tokenized]
    usage: Usage


class ModelFacts(BaseModel):
    """A model that is served; `aliases` are other names that it answers to.

    `prompts` are those that it was trained with, by their names; `default_prompt` is what goes before every text of a
    request that names none.
    """

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    dimensions: int
    layers: int
    context: int
    aliases: list[str]
    default: bool
    matryoshka: list[int]
    prompts: dict[str, str]
    default_prompt: str


class ModelList(BaseModel):
    """Every model that is served."""

    object: Literal["list"] = "list"
    data: list[ModelFacts]


class ErrorFacts(BaseModel):
    """What was wrong."""

    message: str
    type: str
    code: int
    param: str | None


class ErrorAnswer(BaseModel):
    """Any answer that is not 200; 422 has FastAPI's `detail` as well."""

    error: ErrorFacts
    message: str
