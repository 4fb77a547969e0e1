import numpy as np
import numpy.typing as npt

_Floats = npt.NDArray[np.float32]

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
        layers: list[list[_Floats]],
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

def kernels() -> list[tuple[str, str, bool]]: ...
def normalize_rows(x: _Floats, out: _Floats) -> None: ...

class WordPiece:
    def __init__(
        self, vocabulary: dict[str, int], *, unknown: int, uncased: bool, longest_word: int, added: list[str]
    ) -> None: ...
    def encode(
        self, texts: list[str], threads: int
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64], list[int]]: ...
    def words(self, text: str) -> list[str] | None: ...
