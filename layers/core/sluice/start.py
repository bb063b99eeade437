"""The handler of every zip function, `sluice.start.handler`: imports the function's `app` during INIT.

Lambda gives INIT a whole processor, whatever MemorySize is, so what the first event would build is built here
(docs/adr/0085-what-init-does.md).
"""

import gc
import importlib
import logging

from sluice.once import Once

gc.disable()  # what an import makes stays, so searching it for garbage finds none: a tenth of the CPU
app = importlib.import_module("app")
handler = app.handler
for used in list(vars(app).values()):
    if isinstance(used, Once):
        try:
            used()
        except Exception as exc:  # the first event tries again, and answers with an error if that fails too
            logging.getLogger("sluice.start").warning("not built during INIT", exc_info=exc)
gc.freeze()
gc.enable()
