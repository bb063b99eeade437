"""What the OpenAI Agents SDK gets, as one JSON object: its own loop over Responses and over chat."""

import asyncio
import json
from typing import Any

from agents import Agent, OpenAIChatCompletionsModel, OpenAIResponsesModel, Runner, function_tool, set_tracing_disabled
from openai import AsyncOpenAI
from pydantic import BaseModel


class City(BaseModel):
    name: str
    inhabitants: int


@function_tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"Sunny in {city}."


async def tried(model: Any) -> dict[str, Any]:
    other = Agent(name="other", handoff_description="Knows everything.", model=model)
    armed = Agent(name="armed", instructions="You use tools.", model=model, tools=[weather])
    typed = Agent(name="typed", model=model, output_type=City)
    used = await Runner.run(armed, "What is the weather in 'Rome'?")
    streaming = Runner.run_streamed(armed, "What is the weather in 'Rome'?")
    events = [event.type async for event in streaming.stream_events()]
    handed = await Runner.run(Agent(name="first", model=model, handoffs=[other]), "Ask the other.")
    filled = await Runner.run(typed, "Describe 'Rome' with 5 inhabitants.")
    return {
        "used": used.final_output,
        "turns": len(used.raw_responses),
        "streamed": streaming.final_output,
        "events": sorted(set(events)),
        "handed": handed.last_agent.name,
        "typed": filled.final_output.model_dump(),
    }


async def main() -> None:
    set_tracing_disabled(True)
    async with AsyncOpenAI() as client:
        models = {"responses": OpenAIResponsesModel, "chat": OpenAIChatCompletionsModel}
        print(json.dumps({name: await tried(kind("demo", client)) for name, kind in models.items()}))


asyncio.run(main())
