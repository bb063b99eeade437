"""The handler of every zip function, `sluice.start.handler`: imports the function's `app` during INIT.

Lambda gives INIT a whole processor, whatever MemorySize is, so what the first event would build is built here
(docs/adr/0085-what-init-does.md).
"""

import gc
import importlib

gc.disable()  # what an import makes stays, so searching it for garbage finds none: a tenth of the CPU
handler = importlib.import_module("app").handler
gc.freeze()
gc.enable()
