# The native extension (native/): the encoder, its kernels, row normalisation, scans and BERT's WordPiece.
# Arrays are C-contiguous; `out` arguments are written in place. Shapes and numbers are checked by crumb.engine,
# crumb.vectors and crumb.text, and again in C++ where a wrong one would read outside an array: those raise ValueError.
import numpy as np
import numpy.typing as npt

_Floats = npt.NDArray[np.float32]
_Bytes = npt.NDArray[np.uint8]

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
        layers: list[int],  # rising
        threads: int,
        out: _Floats,  # [layers * texts, poolings * hidden]
    ) -> None: ...
    def hidden_rows(
        self, ids: npt.NDArray[np.int32], offsets: npt.NDArray[np.int64], layers: int, threads: int, out: _Floats
    ) -> None: ...

# (name, precision, whether this CPU runs it), fastest on this CPU first.
def kernels() -> list[tuple[str, str, bool]]: ...

# Rows of x float32 [n, d] divided by their Euclidean length; a row of zeros stays.
def normalize_rows(x: _Floats, out: _Floats) -> None: ...

# (name, whether this CPU runs it), fastest first.
def scans() -> list[tuple[str, bool]]: ...

# The best rows of a corpus, given as bytes, for each query: native/scoring/scan.h. `isa` is a name of scans() or empty.
def top_dots(
    *,
    isa: str,
    rows: _Bytes,
    form: str,  # float32, float16, int8, uint8, or bits: dimension 8 b + j is bit j of byte b from the lowest
    queries: _Floats,
    bias: _Floats,  # [n], added to each sum
    cosine: bool,
    affine: _Floats | None,  # [2, d]: rows stand for affine[1] + affine[0] * row when their length is taken
    candidates: npt.NDArray[np.int64] | None,  # [n, m]: look only there
    threads: int,
    scores: _Floats,
    found: npt.NDArray[np.int64],
) -> None: ...
def top_integer_dots(
    *,
    isa: str,
    rows: _Bytes,
    form: str,
    queries: npt.NDArray[np.int16],
    threads: int,
    scores: npt.NDArray[np.int32],
    found: npt.NDArray[np.int64],
) -> None: ...
def top_hamming(
    *,
    isa: str,
    rows: _Bytes,
    queries: _Bytes,
    threads: int,
    scores: npt.NDArray[np.int32],
    found: npt.NDArray[np.int64],
) -> None: ...
def top_weighted_bits(
    *,
    isa: str,
    rows: _Bytes,
    queries: _Floats,
    threads: int,
    scores: npt.NDArray[np.int32],
    found: npt.NDArray[np.int64],
) -> None: ...

# Ids without special tokens; texts by number that are left to the tokenizers library come last in `encode`'s answer.
class WordPiece:
    def __init__(
        self, vocabulary: dict[str, int], *, unknown: int, uncased: bool, longest_word: int, added: list[str]
    ) -> None: ...
    def encode(
        self, texts: list[str], threads: int, enough: int | None = None
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64], list[int]]: ...
    def words(self, text: str) -> list[str] | None: ...
