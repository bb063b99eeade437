"""The files that pages load: ours, and third-party ones under `static/vendor`, each with its licence."""

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from sluice.domain.errors import NotFound

CSS, JAVASCRIPT, SVG = "text/css", "text/javascript", "image/svg+xml"


@dataclass(frozen=True)
class Asset:
    path: str  # below `static`
    media_type: str


# A fixed list, so that no name can lead to another file.
ASSETS = {
    "sluice.css": Asset("sluice.css", CSS),
    "favicon.svg": Asset("favicon.svg", SVG),
    "htmx.js": Asset("vendor/htmx-4.0.1/htmx.min.js", JAVASCRIPT),
    "uplot.js": Asset("vendor/uplot-1.6.32/uPlot.iife.min.js", JAVASCRIPT),
    "markdown-it.js": Asset("vendor/markdown-it-15.0.3/markdown-it.umd.min.js", JAVASCRIPT),
    "purify.js": Asset("vendor/dompurify-3.4.18/purify.min.js", JAVASCRIPT),
    "sse.js": Asset("sse.js", JAVASCRIPT),
    "markdown.js": Asset("markdown.js", JAVASCRIPT),
    "copy.js": Asset("copy.js", JAVASCRIPT),
    "plots.js": Asset("plots.js", JAVASCRIPT),
    "chat.js": Asset("chat.js", JAVASCRIPT),
    "uplot.css": Asset("vendor/uplot-1.6.32/uPlot.min.css", CSS),
}


def content(name: str) -> bytes:
    """Errors: NotFound."""
    if name not in ASSETS:
        raise NotFound()
    return files("sluice.pages").joinpath("static", ASSETS[name].path).read_bytes()


@cache
def version(name: str) -> str:
    """A hash of the content. With it in a link, a changed file is fetched at once and an old one may be cached."""
    return hashlib.sha256(content(name)).hexdigest()[:12]
