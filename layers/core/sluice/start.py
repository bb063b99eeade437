"""What every zip function starts with: imports its `app`, and builds during INIT what the first event would build.

Lambda gives INIT a whole processor, whatever MemorySize is (docs/adr/0085-what-init-does.md). `handler` is called by
Lambda's runtime for each event; for the gateway it is the WSGI app that gunicorn serves.
"""

import gc
import importlib
import logging
import sys
from types import ModuleType
from typing import Any

from sluice import compiled
from sluice.once import Once


class Unused(list[Any]):
    """Stands for a class of Flask's command line, of Werkzeug's server or test client, or for no plugins."""

    def __init__(self, *_: object, **__: object) -> None:
        super().__init__()
        self.commands: dict[str, Any] = {}


UNUSED = {
    "click": ("secho",),
    "flask.cli": ("AppGroup",),
    "pydantic.plugin._loader": ("get_plugins",),  # would look through the metadata of every installed package
    "werkzeug.serving": ("is_running_from_reloader", "run_simple"),
    "werkzeug.test": ("Client",),
}


def _stand_in(name: str, members: tuple[str, ...]) -> None:
    """A library imports this module, and no function uses it: with http.server and others 30 ms of CPU together."""
    module = ModuleType(name)
    for member in members:
        setattr(module, member, Unused)
    sys.modules.setdefault(name, module)


def _build_used(app: ModuleType) -> None:
    """Builds the use cases that the module names, with their stores. A failure is left to the first event."""
    for used in list(vars(app).values()):
        if isinstance(used, Once):
            try:
                used()
            except Exception as exc:  # the event tries again, and answers with an error if that fails too
                logging.getLogger("sluice.start").warning("not built during INIT", exc_info=exc)


gc.disable()  # what an import makes stays, so searching it for garbage finds none: a tenth of the CPU
compiled.use()
for name, members in UNUSED.items():
    _stand_in(name, members)
app = importlib.import_module("app")
handler = app.handler if hasattr(app, "handler") else app.create()
_build_used(app)
gc.freeze()
gc.enable()
