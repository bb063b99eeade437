"""The base of every request and answer model: a pydantic model that is built at its first use.

A function imports the models of all its routes but its first event uses only one or two. Building the others would be
a large part of a cold start (docs/adr/0055-cold-starts.md).
"""

from typing import Any, Self

import pydantic


class BaseModel(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(defer_build=True)

    @classmethod
    def like(cls, source: object, **more: Any) -> Self:
        """Fields that are not in `more` get the value of the source's attribute of the same name, if there is one."""
        same = {name: getattr(source, name) for name in cls.model_fields if name not in more and hasattr(source, name)}
        return cls(**same, **more)


def prepare_all() -> None:
    """Build all models. A server with threads calls this before it serves, so that no two threads build one at once."""
    waiting: list[type[pydantic.BaseModel]] = [BaseModel]
    while waiting:
        model = waiting.pop()
        model.model_rebuild()
        waiting += model.__subclasses__()
