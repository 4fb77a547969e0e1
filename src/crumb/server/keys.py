"""API keys: who may ask.

Enters: keys from settings and a file, `Authorization` headers. Leaves: yes or no. Knows nothing of requests. Keys are
kept as digests and compared in constant time; they are never logged.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from pathlib import Path

from crumb.server.settings import SettingsError


class Keys:
    """A set of keys; without any, everybody may ask.

    Args:
        keys: given by themselves.
        file: a key on each line; empty lines and lines that begin with # do not count. "" for no file.

    Raises:
        SettingsError: the file cannot be read, or has no key.
    """

    def __init__(self, keys: Sequence[str] = (), file: str = "") -> None:
        self._given = tuple(keys)
        self._file = Path(file).expanduser() if file else None
        self._digests = self._read()

    def __bool__(self) -> bool:
        """Whether a key is needed."""
        return bool(self._digests)

    def reload(self) -> None:
        """Reads the file again; if that fails, the keys stay as they were.

        Raises:
            SettingsError: the file cannot be read, or has no key.
        """
        self._digests = self._read()

    def admits(self, authorization: str) -> bool:
        """Whether an `Authorization` header carries one of the keys: Bearer, bare, or as the password of Basic.

        Args:
            authorization: the header's bytes, each as the character of that number, as HTTP has them.
        """
        offered = hashlib.sha256(_key(authorization.encode("latin-1", "replace"))).digest()
        found = False
        for digest in self._digests:  # all of them: how long it takes must not tell which was nearly right
            found |= hmac.compare_digest(offered, digest)
        return found

    def _read(self) -> tuple[bytes, ...]:
        keys = list(self._given)
        if self._file is not None:
            try:
                lines = self._file.read_text(encoding="utf-8-sig").splitlines()  # some editors begin with a mark
            except (OSError, ValueError) as error:
                raise SettingsError(f"--key-file {self._file} cannot be read: {error}") from None
            keys += (found := [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")])
            if not found:
                raise SettingsError(f"--key-file {self._file} has no key: one on each line, # begins a comment")
        return tuple(hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest() for key in keys)


def _key(authorization: bytes) -> bytes:
    scheme, _, rest = authorization.strip().partition(b" ")
    if scheme.lower() == b"bearer":
        return rest.strip()
    if scheme.lower() == b"basic":
        try:
            return base64.b64decode(rest.strip(), validate=True).partition(b":")[2]
        except binascii.Error:
            return b""
    return authorization.strip()
