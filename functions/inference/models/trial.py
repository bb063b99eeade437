"""One answer of a model file, in a process of its own (see `apart.py`).

python -m functions.inference.models.trial FILE chat|embeddings
"""

import os
import sys

from functions.inference.llama.runtime import start_library
from functions.inference.models.loading import EmbeddingModel, Loader
from functions.inference.models.served import looked_at
from functions.inference.settings import InferenceSettings

TRIAL_TOKENS = 64
"""Of the context, so that a trial takes little memory beside the weights, which are the file's pages in memory."""
LONGEST_S = 600


def main() -> None:
    path, kind = sys.argv[1:]
    settings = InferenceSettings(model=path, slots=1, context_tokens=TRIAL_TOKENS, batch_tokens=TRIAL_TOKENS)
    start_library()
    try:
        model = Loader(settings).load(looked_at(path, settings, embeds=kind == "embeddings"))
        if isinstance(model, EmbeddingModel):
            model.embedder.embed([[0]], LONGEST_S)
    except Exception as error:
        print(error, flush=True)
        os._exit(1)
    os._exit(0)  # without the destructors, which the decode thread would meet


if __name__ == "__main__":
    main()
