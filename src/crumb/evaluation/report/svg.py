"""matplotlib's SVG made fit to stand in a page.

Enters: what matplotlib wrote. Leaves: one <svg> element without outside references: with a title, a description, ids
of its own, the page's colours and its font. Knows nothing of what is drawn.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from crumb.evaluation.report.blocks import clean
from crumb.evaluation.report.palette import names_by_marker, properties

_SVG = "http://www.w3.org/2000/svg"
_XLINK = "http://www.w3.org/1999/xlink"
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif'


def finish(drawn: str, name: str, title: str, description: str) -> str:
    """The drawing as an element for HTML; `standalone` makes a file of it.

    Args:
        drawn: matplotlib's SVG, with text as text, in the markers of `palette.marker_of`.
        name: put before every id, since one page holds many drawings.
        title, description: what it shows and says, for those who do not see it.
    """
    root = ET.fromstring(drawn)
    for old in [child for child in root if child.tag in (f"{{{_SVG}}}metadata", f"{{{_SVG}}}defs")]:
        if old.tag.endswith("metadata") or old.find(f"{{{_SVG}}}style") is not None:
            root.remove(old)  # the style would hold for the whole page; ours is in the attributes of the root
    colours = names_by_marker()
    for element in root.iter():
        element.tag = element.tag.removeprefix(f"{{{_SVG}}}")
        element.tail = element.text = _kept(element.text, element.tag)
        element.tail = None
        for key, value in list(element.attrib.items()):
            del element.attrib[key]
            element.set(key.replace(f"{{{_XLINK}}}", ""), _rewritten(key, value, name, colours))
    for size in ("width", "height"):
        root.attrib.pop(size, None)
    for key, value in (
        ("xmlns", _SVG),
        ("role", "img"),
        ("aria-labelledby", f"{name}-title {name}-description"),
        ("stroke-linejoin", "round"),
    ):
        root.set(key, value)
    for place, (tag, text) in enumerate((("title", title), ("desc", description))):
        labelled = ET.Element(tag, {"id": f"{name}-{'title' if tag == 'title' else 'description'}"})
        labelled.text = clean(text)
        root.insert(place, labelled)
    return ET.tostring(root, encoding="unicode")


def standalone(svg: str) -> str:
    """The drawing as a file of its own, with colours for day and night."""
    style = f"<style>{properties()} svg {{ font-family: {FONT}; }}</style>"
    return re.sub(r"^(<svg[^>]*>)", lambda found: found[1] + style, svg, count=1) + "\n"


def _kept(text: str | None, tag: str) -> str | None:
    """Text where it is shown; what stands between elements is layout of the file."""
    return text if tag == "text" else None


def _rewritten(key: str, value: str, name: str, colours: dict[str, str]) -> str:
    if key == "id":
        return f"{name}-{value}"
    if key.endswith("href") and value.startswith("#"):
        return f"#{name}-{value[1:]}"
    value = re.sub(r"url\(#([^)]*)\)", lambda found: f"url(#{name}-{found[1]})", value)
    value = re.sub(r"#[0-9a-f]{6}\b", lambda found: _colour(found[0], colours), value)
    if key == "d":
        return " ".join(value.split())
    if key == "style":  # the page's font, whatever matplotlib measured with
        value = re.sub(r"font-family: [^;]*;?\s*", "", value)
    return value


def _colour(found: str, colours: dict[str, str]) -> str:
    if found not in colours:
        raise ValueError(f"a drawing has the colour {found}, which is no colour of the report's")
    return f"var(--{colours[found]})"
