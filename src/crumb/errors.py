"""The errors crumb raises on purpose: each says what was wrong (naming the value), what was expected, what to do.

Enters: nothing. Leaves: exception classes. Knows nothing of where they are raised; the command line turns every
`CrumbError` into one line on stderr and exit code 1.
"""

from __future__ import annotations


class CrumbError(Exception):
    """Base of every error that crumb raises on purpose."""


class CheckpointError(CrumbError, ValueError):
    """A model folder that cannot be read, or that asks for something the engine does not do."""


class ModelNotFoundError(CrumbError, LookupError):
    """A name that is neither in the catalogue, nor a folder, nor a Hub id."""


class FetchError(CrumbError, OSError):
    """A model could not be brought from its source."""


class VerificationError(FetchError):
    """What arrived is not what the catalogue promises: the digests differ."""


class TruncationError(CrumbError, ValueError):
    """A text is longer than the context and the caller asked for `truncation="error"`."""


class DamagedFileError(CrumbError, ValueError):
    """A file that is not what its name says: gzip data that break off, a table whose quotes do not close."""


class DocumentError(CrumbError, ValueError):
    """A PDF or DOCX file whose text cannot be had; the message says why, and whoever knows the file names it."""


class RecipeError(CrumbError, ValueError):
    """A training recipe that says too little, too much or the wrong thing; the message begins with the key's path."""


class TrainingError(CrumbError, RuntimeError):
    """A training run that cannot begin, go on or be resumed."""


class MissingExtraError(CrumbError, ImportError):
    """An optional dependency is needed; the message names the extra that brings it."""


class TruncationWarning(UserWarning):
    """Texts were longer than the context and lost tokens; the message says how many of each."""
