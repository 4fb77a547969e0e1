# The native extension (native/): the encoder, its kernels, row normalisation and BERT's WordPiece.
# Arrays are C-contiguous; `out` arguments are written in place. Shapes and numbers are checked by crumb.engine and
# crumb.text, and again in C++ where a wrong one would read outside an array: those raise ValueError.
import numpy as np
import numpy.typing as npt

_Floats = npt.NDArray[np.float32]

# Weights packed for one kernel; safe to use from many threads; the GIL is released while it computes.
class Encoder:
    def __init__(
        self,
        *,
        isa: str,
        precision: str,
        hidden: int,
        heads: int,
        ffn: int,
        activation: str,
        epsilon: float,
        word: _Floats,
        position: _Floats,
        type: _Floats,
        gamma: _Floats,
        beta: _Floats,
        layers: list[list[_Floats]],  # matrices [out, in] and vectors, in the order of crumb.engine.encoder
        threads: int,  # to pack them
        mapped: bool,  # they lie in a file that is mapped read-only: its pages may be given back
    ) -> None: ...
    @property
    def isa(self) -> str: ...
    @property
    def precision(self) -> str: ...
    @property
    def packed_bytes(self) -> int: ...
    def encode(
        self,
        ids: npt.NDArray[np.int32],
        offsets: npt.NDArray[np.int64],
        poolings: list[str],
        first_pooled: npt.NDArray[np.int32] | None,
        layers: int,
        threads: int,
        out: _Floats,
    ) -> None: ...
    def hidden_rows(
        self, ids: npt.NDArray[np.int32], offsets: npt.NDArray[np.int64], layers: int, threads: int, out: _Floats
    ) -> None: ...

# (name, precision, whether this CPU runs it), fastest on this CPU first.
def kernels() -> list[tuple[str, str, bool]]: ...

# Rows of x float32 [n, d] divided by their Euclidean length; a row of zeros stays.
def normalize_rows(x: _Floats, out: _Floats) -> None: ...

# Ids without special tokens; texts by number that are left to the tokenizers library come last in `encode`'s answer.
class WordPiece:
    def __init__(
        self, vocabulary: dict[str, int], *, unknown: int, uncased: bool, longest_word: int, added: list[str]
    ) -> None: ...
    def encode(
        self, texts: list[str], threads: int, enough: int | None = None
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64], list[int]]: ...
    def words(self, text: str) -> list[str] | None: ...
