"""What instructor gets, as one JSON object: each of its ways to ask for a schema."""

import json
from typing import Any

import instructor
from openai import OpenAI
from pydantic import BaseModel

MODES = (
    instructor.Mode.TOOLS,
    instructor.Mode.TOOLS_STRICT,
    instructor.Mode.JSON_SCHEMA,
    instructor.Mode.PARALLEL_TOOLS,
)
QUESTION: Any = [{"role": "user", "content": "Describe 'Rome' with 5 inhabitants."}]


class City(BaseModel):
    name: str
    inhabitants: int


def asked(client: OpenAI, mode: instructor.Mode) -> Any:
    made = instructor.from_openai(client, mode=mode)
    if mode is instructor.Mode.PARALLEL_TOOLS:
        from collections.abc import Iterable

        return [one.model_dump() for one in made.create(model="demo", messages=QUESTION, response_model=Iterable[City])]
    partial = [one.model_dump() for one in made.create_partial(model="demo", messages=QUESTION, response_model=City)]
    return [made.create(model="demo", messages=QUESTION, response_model=City).model_dump(), partial[-1]]


with OpenAI() as client:
    print(json.dumps({mode.name: asked(client, mode) for mode in MODES}))
