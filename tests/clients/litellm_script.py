"""What litellm gets as a client, as one JSON object, over OpenAI's API and over Anthropic's."""

import json
import os
from typing import Any

import litellm

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
TOOL = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}


def tried(model: str, **place: Any) -> dict[str, Any]:
    whole = litellm.completion(model, messages=QUESTION, **place)
    chunks = list(
        litellm.completion(model, messages=QUESTION, stream=True, stream_options={"include_usage": True}, **place)
    )
    built = litellm.stream_chunk_builder(chunks)
    called = litellm.completion(model, messages=QUESTION, tools=[TOOL], tool_choice="required", **place)
    return {
        "whole": whole.choices[0].message.content,
        "streamed": built.choices[0].message.content,
        "usage": [whole.usage.total_tokens, built.usage.total_tokens],
        "called": called.choices[0].message.tool_calls[0].function.name,
    }


url, key = os.environ["ANTHROPIC_BASE_URL"], os.environ["ANTHROPIC_API_KEY"]
print(
    json.dumps(
        {
            "openai": tried("openai/demo", api_base=url + "/v1", api_key=key),
            "anthropic": tried("anthropic/demo", api_base=url, api_key=key),
        }
    )
)
