"""The models that are served, by every name that they answer to.

Enters: `Settings`. Leaves: loaded models. Knows nothing of requests.
"""

from __future__ import annotations

import difflib
import logging
from dataclasses import dataclass, field

from crumb import catalog
from crumb.loading import load
from crumb.model import Model
from crumb.server.errors import ApiError
from crumb.server.settings import Settings, SettingsError

# What the default model answers to besides: the names that the tutorials of crumb's model use.
STAND_IN = ("mixedbread-ai/mxbai-embed-xsmall-v1", "mxbai-embed-xsmall-v1", "crumb")

log = logging.getLogger("crumb.server")


@dataclass
class Served:
    """A loaded model, its own name, and the others; `created` is when its folder was made, in seconds since 1970."""

    model: Model
    name: str
    created: int
    aliases: list[str] = field(default_factory=list)


class Registry:
    """Models by name.

    Args:
        settings: which to load, and how.

    Raises:
        CrumbError: a model that cannot be loaded.
        SettingsError: an alias of a model that is not loaded, or that is taken.
    """

    def __init__(self, settings: Settings) -> None:
        self._by_name: dict[str, Served] = {}
        self.models: list[Served] = []
        wanted_models: list[str | None] = [*settings.model] or [None]
        for wanted in wanted_models:
            model = load(
                wanted,
                context=settings.context or None,
                positions=settings.positions or None,  # type: ignore[arg-type]  # checked by the settings
                precision=settings.precision,  # type: ignore[arg-type]
                threads=settings.threads or None,
            )
            self._add(model, wanted)
        for alias in settings.alias:
            name, _, target = alias.partition("=")
            if not name or target.lower() not in self._by_name:
                known = ", ".join(served.name for served in self.models)
                raise SettingsError(f"--alias {alias!r} must be NAME=MODEL with a model that is loaded: {known}")
            self._alias(self._by_name[target.lower()], name)
        for name in STAND_IN:
            if name.lower() not in self._by_name:
                self._alias(self.default, name)

    @property
    def default(self) -> Served:
        """The first."""
        return self.models[0]

    def get(self, name: str) -> Served:
        """The model of that name, in any case of letters.

        Raises:
            ApiError: 404, naming the models there are.
        """
        served = self._by_name.get(name.lower())
        if served is None:
            known = ", ".join(served.name for served in self.models)
            near = difflib.get_close_matches(name.lower(), self._by_name, n=1)
            hint = f"; did you mean {near[0]!r}" if near else ""
            raise ApiError(
                404,
                f"no model {name[:100]!r} is served here{hint}. Served: {known} (GET /v1/models has all names)",
                param="model",
            )
        return served

    def stands_in(self) -> list[str]:
        """Names of other models that the default answers to; whoever starts the server should know."""
        entry = catalog.find(self.default.name)
        own = {name.lower() for name in ((entry.name, *entry.aliases) if entry else ())}
        return [name for name in self.default.aliases if catalog.find(name) and name.lower() not in own]

    def _add(self, model: Model, wanted: str | None) -> None:
        entry = catalog.find(wanted or model.name)
        name = entry.name if entry else model.name
        if name.lower() in self._by_name:
            raise SettingsError(f"two models are called {name!r}; give one of them another folder name")
        served = Served(model, name, int(model.contract.folder.stat().st_mtime))
        self._by_name[name.lower()] = served
        self.models.append(served)
        for other in [*(entry.aliases if entry else ()), *([wanted] if wanted and "/" not in wanted else [])]:
            if other.lower() not in self._by_name:
                self._alias(served, other)

    def _alias(self, served: Served, name: str) -> None:
        if name.lower() in self._by_name:
            raise SettingsError(f"the name {name!r} is taken by {self._by_name[name.lower()].name}")
        self._by_name[name.lower()] = served
        served.aliases.append(name)
