"""Use cases of the gateway: admit a request, ask the model, stream the answer, settle, sweep."""
