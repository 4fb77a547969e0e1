"""What git ignores: .gitignore files from a repository's root down, and its .git/info/exclude.

Enters: lines of patterns, names in a folder. Leaves: ignored or not, as `git check-ignore` says on a file system that
tells upper from lower case. Knows nothing of git's index (what is tracked is not special here) and of git's
configuration, a user's global excludes included. Names and patterns are bytes, as in git, where `?` is one byte.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

_WILD = b"*?[\\"
_NEVER = rb"(?!)"
_POSIX: dict[bytes, Callable[[bytes], bool]] = {
    b"alnum": bytes.isalnum,
    b"alpha": bytes.isalpha,
    b"blank": lambda c: c in b" \t",
    b"cntrl": lambda c: c < b" " or c == b"\x7f",
    b"digit": bytes.isdigit,
    b"graph": lambda c: b"!" <= c <= b"~",
    b"lower": bytes.islower,
    b"print": lambda c: b" " <= c <= b"~",
    b"punct": lambda c: b"!" <= c <= b"~" and not c.isalnum(),
    b"space": bytes.isspace,
    b"upper": bytes.isupper,
    b"xdigit": lambda c: c in b"0123456789abcdefABCDEF",
}
_BYTES = [bytes([i]) for i in range(256)]


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of patterns. `by_name` rules look at the last part of a path, the others at all of it."""

    negated: bool
    folders_only: bool
    by_name: bool
    pattern: re.Pattern[bytes]

    def matches(self, path: bytes, name: bytes, *, is_folder: bool) -> bool:
        """Whether the rule is about `path`, which is relative to the rule's folder and ends in `name`."""
        if self.folders_only and not is_folder:
            return False
        return self.pattern.fullmatch(name if self.by_name else path) is not None


def parse(data: bytes) -> list[Rule]:
    """The rules in the bytes of a .gitignore file, in order."""
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    rules = (_rule(_trimmed(line.removesuffix(b"\r"))) for line in lines if line and not line.startswith(b"#"))
    return [rule for rule in rules if rule is not None]


def verdict(rules: Sequence[Rule], path: bytes, name: bytes, *, is_folder: bool) -> bool | None:
    """What the last matching rule says: True to ignore, False not to, None if there is none."""
    for rule in reversed(rules):
        if rule.matches(path, name, is_folder=is_folder):
            return not rule.negated
    return None


class Scope:
    """The rules that hold inside one folder: its own .gitignore, and those of the folders above it, up to the root of
    the repository (outside of one: the first folder asked about). A folder with a `.git` in it starts a repository.
    """

    def __init__(self, folder: Path, rules: list[tuple[bytes, list[Rule]]]) -> None:
        self._folder = folder
        self._rules = rules  # nearest first: (this folder as seen from where the rules stand, the rules)

    @classmethod
    def of(cls, folder: Path) -> Scope:
        """The scope of any folder, with the rules of the repository around it."""
        folder = folder.resolve()
        root = next((above for above in (folder, *folder.parents) if (above / ".git").exists()), folder)
        scope = cls(root, _own_rules(root))
        for part in folder.relative_to(root).parts:
            scope = scope.inside(part)
        return scope

    def inside(self, name: str) -> Scope:
        """The scope of a folder in this one."""
        folder = self._folder / name
        if (folder / ".git").exists():
            return Scope(folder, _own_rules(folder))
        inherited = [(prefix + os.fsencode(name) + b"/", rules) for prefix, rules in self._rules]
        return Scope(folder, _own_rules(folder) + inherited)

    def ignores(self, name: str, *, is_folder: bool) -> bool:
        """Whether git ignores this entry. In a folder that is ignored everything is, whatever its own rules say."""
        last = os.fsencode(name)
        for prefix, rules in self._rules:
            says = verdict(rules, prefix + last, last, is_folder=is_folder)
            if says is not None:
                return says
        return False


def _own_rules(folder: Path) -> list[tuple[bytes, list[Rule]]]:
    found = []
    # git does not follow a link here either; in a linked work tree .git is a file, and the excludes lie elsewhere
    for path in (folder / ".gitignore", folder / ".git" / "info" / "exclude"):
        if path.is_file() and not path.is_symlink():
            rules = parse(path.read_bytes())
            if rules:
                found.append((b"", rules))
    return found


def _trimmed(line: bytes) -> bytes:
    """Without the spaces at its end, except one that a backslash protects."""
    bare = line.rstrip(b" ")
    backslashes = len(bare) - len(bare.rstrip(b"\\"))
    return bare + b" " if backslashes % 2 and len(bare) < len(line) else bare


def _rule(line: bytes) -> Rule | None:
    if not line:
        return None
    negated = line.startswith(b"!")
    text = line[negated:]
    folders_only = text.endswith(b"/")
    text = text[: len(text) - folders_only]
    by_name = b"/" not in text
    text = text.removeprefix(b"/")
    # Up to the first special character git compares byte by byte, and only then starts its matcher: a `**` right behind
    # counts as standing at the start.
    literal = next((i for i, byte in enumerate(text) if byte in _WILD), len(text))
    rest = _translate(text[literal:], by_name=by_name)
    return Rule(negated, folders_only, by_name, re.compile(re.escape(text[:literal]) + rest, re.DOTALL))


def _translate(glob: bytes, *, by_name: bool) -> bytes:
    """A regular expression for the whole of what `glob` matches; one that never matches where the glob is broken."""
    any_one = b"." if by_name else b"[^/]"
    out = b""
    i = 0
    while i < len(glob):
        c = glob[i : i + 1]
        if c == b"*":
            end = i
            while glob[end : end + 1] == b"*":
                end += 1
            behind = glob[end : end + 2]
            bounded = (i == 0 or glob[i - 1 : i] == b"/") and (behind[:1] in (b"", b"/") or behind == b"\\/")
            if end - i == 1 or by_name or not bounded:
                out += any_one + b"*"
            elif behind[:1] == b"/":
                out += b"(?:.*/)?"
                end += 1
            else:
                out += b".*"
            i = end
        elif c == b"?":
            out += any_one
            i += 1
        elif c == b"[":
            members, i = _bracket(glob, i + 1)
            if not by_name:
                members.discard(b"/")
            if i < 0 or not members:
                return _NEVER
            out += b"[" + b"".join(map(re.escape, sorted(members))) + b"]"
        elif c == b"\\":
            if i + 1 == len(glob):
                return _NEVER
            out += re.escape(glob[i + 1 : i + 2])
            i += 2
        else:
            out += re.escape(c)
            i += 1
    return out


def _bracket(glob: bytes, i: int) -> tuple[set[bytes], int]:
    """The bytes that a bracket expression matches, its `[` being right before `i`, and where it ends; -1 if broken."""
    negated = glob[i : i + 1] in (b"!", b"^")
    i += negated
    members: set[bytes] = set()
    previous = b""  # what a range would start from
    first = True
    while first or glob[i : i + 1] != b"]":
        first = False
        c = glob[i : i + 1]
        if c == b"-" and previous and glob[i + 1 : i + 2] not in (b"", b"]"):
            i += 1
            if glob[i : i + 1] == b"\\":
                i += 1
            c = glob[i : i + 1]
            members.update(b for b in _BYTES if previous <= b <= c)
            previous = b""
        elif c == b"[" and glob[i + 1 : i + 2] == b":":
            end = glob.find(b"]", i + 2)
            if end < 0:
                return members, -1
            if end - 1 >= i + 2 and glob[end - 1 : end] == b":":
                test = _POSIX.get(glob[i + 2 : end - 1])
                if test is None:
                    return members, -1
                members.update(b for b in _BYTES if test(b))
                i, previous = end, b""
            else:
                members.add(c)
                previous = c
        else:
            if c == b"\\":
                i += 1
                c = glob[i : i + 1]
            members.add(c)
            previous = c
        if not c:
            return members, -1
        i += 1
    return (set(_BYTES) - members if negated else members), i + 1
