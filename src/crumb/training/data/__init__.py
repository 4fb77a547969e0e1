"""Training data: rows of files in, batches out.

`Source` says what to read, `read_source` reads it into `Rows`, `Mixture` makes batches of several of them.
"""

from crumb.training.data.files import DataError, digest
from crumb.training.data.lengths import estimate, tokens_of
from crumb.training.data.mixture import Mixture
from crumb.training.data.reading import BadRowsWarning, read_source
from crumb.training.data.rows import Rows
from crumb.training.data.source import Source

__all__ = [
    "BadRowsWarning",
    "DataError",
    "Mixture",
    "Rows",
    "Source",
    "digest",
    "estimate",
    "read_source",
    "tokens_of",
]
