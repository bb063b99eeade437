"""What pydantic-ai gets, as one JSON object, over each of the three APIs."""

import asyncio
import json
from typing import Any

from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel


class City(BaseModel):
    name: str
    inhabitants: int


def weather(city: str) -> str:
    """The weather in a city."""
    return f"Sunny in {city}."


async def tried(model: Any) -> dict[str, Any]:
    plain, typed, armed = Agent(model), Agent(model, output_type=City), Agent(model, tools=[weather])
    answer = await plain.run("What is the capital of France?")
    async with plain.run_stream("What is the capital of France?") as stream:
        streamed = await stream.get_output()
    filled = await typed.run("Describe 'Rome' with 5 inhabitants.")
    used = await armed.run("What is the weather in 'Rome'?")
    usage = [run.usage for run in (answer, filled, used)]
    return {
        "answer": answer.output,
        "streamed": streamed,
        "typed": filled.output.model_dump(),
        "used": used.output,
        "usage": [[one.input_tokens, one.output_tokens, one.requests] for one in usage],
    }


async def main() -> None:
    models = {
        "chat": OpenAIChatModel("demo"),
        "responses": OpenAIResponsesModel("demo"),
        "messages": AnthropicModel("demo"),
    }
    print(json.dumps({name: await tried(model) for name, model in models.items()}))


asyncio.run(main())
