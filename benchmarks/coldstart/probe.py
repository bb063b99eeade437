"""Times one function's first event in a new interpreter: `python -I -S -B probe.py EVENT.json HANDLER FOLDER…`

Imports only from the given folders, which are the packages, and from the standard library. Prints one JSON line.
"""

import importlib
import sys
import time

event_file, handler_name, *folders = sys.argv[1:]
sys.path[:0] = folders
module, _, attribute = handler_name.rpartition(".")
handler = getattr(importlib.import_module(module), attribute)
_imported = time.process_time()  # with the start of the interpreter

# Not measured, because Lambda parses the event before the call.
import json  # noqa: E402

with open(event_file) as file:
    event = json.load(file)
_before = time.process_time()
answer = handler(event, None)
_answered = time.process_time()

sys.stdout.write("\n" + json.dumps({"init": _imported, "event": _answered - _before, "answer": answer}) + "\n")
