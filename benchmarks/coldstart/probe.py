"""Times one function's first event in a new interpreter: `python -I -S -B probe.py EVENT.json HANDLER FOLDER…`

Imports only from the given folders, which are the packages, and from the standard library. Prints one JSON line.
"""

import sys
import time

_started = (time.process_time(), time.perf_counter())  # the first value is the start of the interpreter

event_file, handler_name, *folders = sys.argv[1:]
sys.path[:0] = folders
module, _, attribute = handler_name.rpartition(".")
handler = getattr(__import__(module), attribute)
_imported = (time.process_time(), time.perf_counter())

# Not measured, because Lambda parses the event before the call.
import json  # noqa: E402

with open(event_file) as file:
    event = json.load(file)
_before = (time.process_time(), time.perf_counter())
answer = handler(event, None)
_answered = (time.process_time(), time.perf_counter())

sys.stdout.write(
    json.dumps(
        {
            "start_cpu": _started[0],
            "import_cpu": _imported[0] - _started[0],
            "import_wall": _imported[1] - _started[1],
            "event_cpu": _answered[0] - _before[0],
            "event_wall": _answered[1] - _before[1],
            "modules": len(sys.modules),
            "answer": answer,
        }
    )
    + "\n"
)
