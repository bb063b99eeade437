"""The files that pages load: ours, and third-party ones under `static/vendor`, each with its licence."""

import hashlib
from functools import cache
from importlib.resources import files

from sluice.domain.errors import NotFound

MEDIA_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
# Names and paths below `static`. A fixed list, so that no name can lead to another file.
ASSETS = {
    "sluice.css": "sluice.css",
    "favicon.svg": "favicon.svg",
    "htmx.js": "vendor/htmx-4.0.1/htmx.min.js",
    "uplot.js": "vendor/uplot-1.6.32/uPlot.iife.min.js",
    "markdown-it.js": "vendor/markdown-it-15.0.3/markdown-it.umd.min.js",
    "purify.js": "vendor/dompurify-3.4.18/purify.min.js",
    "katex.js": "vendor/katex-0.19.1/katex.min.js",
    "highlight.js": "vendor/highlight.js-11.12.0/highlight.min.js",
    "words.js": "words.js",
    "words_ja.js": "words_ja.js",
    "words_zh-Hant.js": "words_zh-Hant.js",
    "sse.js": "sse.js",
    "markdown.js": "markdown.js",
    "copy.js": "copy.js",
    "passkeys.js": "passkeys.js",
    "documents.js": "documents.js",
    "plots.js": "plots.js",
    "zone.js": "zone.js",
    "chat.js": "chat.js",
    "typed.js": "typed.js",
    "chat_answer.js": "chat_answer.js",
    "chat_files.js": "chat_files.js",
    "chat_kept.js": "chat_kept.js",
    "chat_menu.js": "chat_menu.js",
    "chat_words.js": "chat_words.js",
    "embed.js": "embed.js",
    "uplot.css": "vendor/uplot-1.6.32/uPlot.min.css",
}


def content(name: str) -> bytes:
    """Errors: NotFound."""
    if name not in ASSETS:
        raise NotFound()
    return files("sluice.pages").joinpath("static", ASSETS[name]).read_bytes()


def media_type(name: str) -> str:
    """By the ending of the name; text for a licence, which has none."""
    return MEDIA_TYPES.get(name.rpartition(".")[2], "text/plain")


@cache
def version(name: str) -> str:
    """A hash of the content. With it in a link, a changed file is fetched at once and an old one may be cached."""
    return hashlib.sha256(content(name)).hexdigest()[:12]
