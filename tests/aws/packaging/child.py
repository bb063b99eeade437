"""Run by `python -I -S`: only the layer's packages and the modules of the function's folder are to be found.

Arguments: the function's folder, the layer's `python`, the handler. The event comes on standard input; the last line of
standard output is the answer, with the files of all modules that were imported.
"""

import importlib
import io
import json
import os
import sys

FUNCTION, LAYER, HANDLER = sys.argv[1:4]


def main() -> None:
    sys.path[:0] = [FUNCTION, LAYER]  # Lambda's order: /var/task, then /opt/python
    event = json.load(sys.stdin)
    answer = through_wsgi(event) if HANDLER == "run.sh" else called(event)
    files = sorted({str(module.__file__) for module in list(sys.modules.values()) if getattr(module, "__file__", None)})
    sys.stdout.write(
        "\n" + json.dumps({"answer": answer, "files": files, "standard": os.path.dirname(os.__file__)}) + "\n"
    )


def called(event: object) -> object:
    name, _, attribute = HANDLER.rpartition(".")
    return getattr(importlib.import_module(name), attribute)(event, None)


def through_wsgi(event: dict[str, str]) -> object:
    """The app that run.sh starts, without the server: `sluice.start:handler`."""
    app = importlib.import_module("sluice.start").handler
    environ = {
        "REQUEST_METHOD": event["httpMethod"],
        "PATH_INFO": event["path"],
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "8080",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.version": (1, 0),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    told: dict[str, object] = {}

    def start(status: str, headers: list[tuple[str, str]], *_: object) -> None:
        told.update(statusCode=int(status[:3]), headers=dict(headers))

    told["body"] = b"".join(app(environ, start)).decode()
    return told


main()
