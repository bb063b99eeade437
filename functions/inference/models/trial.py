"""The process that tries a model file (`apart.py`): loads it, and asks it once.

python -m functions.inference.models.trial FILE
"""

import os
import sys

from functions.inference.errors import ModelFileError
from functions.inference.llama.runtime import start_library
from functions.inference.models.apart import LONGEST_S
from functions.inference.models.loading import EmbeddingModel, Loader
from functions.inference.models.served import looked_at
from functions.inference.settings import InferenceSettings

TRIAL_TOKENS = 64
"""Of the context, so that a trial takes little memory beside the weights, which are the file's pages in memory."""


def main() -> None:
    (path,) = sys.argv[1:]
    settings = InferenceSettings(model=path, slots=1, context_tokens=TRIAL_TOKENS, batch_tokens=TRIAL_TOKENS)
    start_library()
    try:
        served = looked_at(path, settings)
        if served.fault:
            raise ModelFileError(served.fault)
        model = Loader(settings).load(served)
        if isinstance(model, EmbeddingModel):
            model.embedder.embed([[0]], LONGEST_S)
    except Exception as error:
        print(error, flush=True)
        os._exit(1)
    os._exit(0)  # without the destructors, which the decode thread would meet


if __name__ == "__main__":
    main()
