"""One function's first event in a fresh interpreter, timed: `python -I -S -B probe.py EVENT.json HANDLER FOLDER…`

The folders are what is packaged, and all there is to import from beside Python itself. Prints one JSON line.
"""

import sys
import time

_started = (time.process_time(), time.perf_counter())  # what the interpreter itself took is the first of the two

event_file, handler_name, *folders = sys.argv[1:]
sys.path[:0] = folders
module, _, attribute = handler_name.rpartition(".")
handler = getattr(__import__(module), attribute)
_imported = (time.process_time(), time.perf_counter())

# Lambda has read the event before; the function imports this in any case.
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
