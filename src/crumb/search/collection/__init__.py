"""Collections: a store of documents that begins as a folder and becomes a Qdrant cluster without new code."""

from crumb.search.collection.collection import Collection, Mode
from crumb.search.collection.errors import (
    CollectionError,
    CollectionInUseError,
    DiskFullError,
    DuplicateIdError,
    FilterError,
)
from crumb.search.collection.filters import Filter
from crumb.search.collection.ids import Id
from crumb.search.collection.items import AddReport, Hit, Item
from crumb.search.collection.manifest import Encoding, Strategy

__all__ = [
    "AddReport",
    "Collection",
    "CollectionError",
    "CollectionInUseError",
    "DiskFullError",
    "DuplicateIdError",
    "Encoding",
    "Filter",
    "FilterError",
    "Hit",
    "Id",
    "Item",
    "Mode",
    "Strategy",
]
