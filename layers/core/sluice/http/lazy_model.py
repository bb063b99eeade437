"""The base of every request and answer model: checked as any pydantic model, but prepared at its first use.

A function imports the models of all its routes and its first event uses one or two of them: preparing the others would
be a good part of a cold start (docs/adr/0055-cold-starts.md).
"""

import pydantic


class BaseModel(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(defer_build=True)


def prepare_all() -> None:
    """For a server of many threads, before it serves: which of them would prepare a model is nobody's guess."""
    waiting: list[type[pydantic.BaseModel]] = [BaseModel]
    while waiting:
        model = waiting.pop()
        model.model_rebuild()
        waiting += model.__subclasses__()
