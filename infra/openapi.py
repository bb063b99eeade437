"""`python -m infra.openapi`: write `functions/web/openapi.json`, which describes every HTTP function, and `/docs`.

It is a file, because the function that serves it on AWS does not contain the other functions. A test checks it.
"""

import importlib
import json
import sys
from pathlib import Path

from flask import Blueprint, Flask

from infra import reference
from sluice.http.app import create_app
from sluice.http.openapi import document

FUNCTIONS = Path(__file__).parents[1] / "functions"
TARGET = FUNCTIONS / "web" / "openapi.json"
NOT_PUBLIC = frozenset({"inference", "search"})  # called by other functions only


def public_app() -> Flask:
    """An app with every blueprint of the public API, found by searching the folders, so that none is missing."""
    names = sorted(path.parent.name for path in FUNCTIONS.glob("*/app.py") if path.parent.name not in NOT_PUBLIC)
    modules = (importlib.import_module(f"functions.{name}.app") for name in names)
    found = [module.blueprint for module in modules if isinstance(getattr(module, "blueprint", None), Blueprint)]
    return create_app(found)


def text() -> str:
    return json.dumps(document(public_app()), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    TARGET.write_text(text())
    reference.TARGET.write_text(reference.page(json.loads(TARGET.read_text())))
    sys.stdout.write(f"wrote {TARGET} and {reference.TARGET}\n")
