"""Colours of a report, by name, for day and for night.

Enters: nothing. Leaves: custom properties of CSS. Knows nothing of what is coloured. Drawings name these properties, so
that one drawing serves both schemes.
"""

from __future__ import annotations

# name: (day, night). Text on paper has a contrast of 4.5 and more, lines of 3 and more (WCAG 2.2, 1.4.3 and 1.4.11)
COLOURS: dict[str, tuple[str, str]] = {
    "paper": ("#fbfaf8", "#15171b"),
    "card": ("#ffffff", "#1c1f25"),
    "ink": ("#1b1d22", "#e7e6e3"),
    "faint": ("#5c6068", "#a3a7af"),
    "line": ("#dddbd6", "#353a43"),
    "edge": ("#8b8a86", "#737a86"),
    "accent": ("#1f4b99", "#8ab8f0"),
    "good": ("#1b6b3a", "#7fd19b"),
    "bad": ("#a3261c", "#f59b90"),
    # series: told apart by their markers too
    "s0": ("#1f4b99", "#8ab8f0"),
    "s1": ("#b04a00", "#f0a35e"),
    "s2": ("#1b6b3a", "#7fd19b"),
    "s3": ("#8a2f8f", "#dc9be0"),
    "s4": ("#6b5a00", "#d6c25a"),
    "s5": ("#00666b", "#62cdd2"),
    "s6": ("#a3261c", "#f59b90"),
    "s7": ("#4a4f58", "#b9bdc6"),
    # the heat map: one hue, so that lightness alone tells
    "h0": ("#f1f5fb", "#1c2330"),
    "h1": ("#dfe8f5", "#222c3f"),
    "h2": ("#ccdaef", "#29374f"),
    "h3": ("#b6cae7", "#304463"),
    "h4": ("#9fb9df", "#395379"),
    "h5": ("#5373ad", "#7597c4"),
    "h6": ("#4668a4", "#86a8d3"),
    "h7": ("#3a5c99", "#98b9e1"),
    "h8": ("#2b4b86", "#accbee"),
    "h9": ("#1e3a6f", "#c2ddf9"),
}
SERIES = 8
STEPS = 10
_DARK_FROM = 5  # from this step on what is written on the heat map has the other ink


def properties() -> str:
    """The custom properties, as rules of CSS for :root, both schemes."""

    def rules(scheme: int) -> str:
        return " ".join(f"--{name}: {pair[scheme]};" for name, pair in COLOURS.items())

    return (
        f":root {{ color-scheme: light dark; {rules(0)} }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ {rules(1)} }} }}"
    )


def ink_on(step: int) -> str:
    """The colour, by name, of what is written on a step of the heat map."""
    return "ink" if step < _DARK_FROM else "card"


def marker_of(name: str) -> str:
    """A colour that stands for `name` in a drawing until `svg.finish` puts the property in its place."""
    return f"#fe{list(COLOURS).index(name):02x}ef"


def names_by_marker() -> dict[str, str]:
    """The inverse of `marker_of`, for all."""
    return {marker_of(name): name for name in COLOURS}
