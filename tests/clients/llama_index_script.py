"""What LlamaIndex gets, as one JSON object."""

import json
import os
from typing import Any

from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel

PLACE: dict[str, Any] = {"api_base": os.environ["OPENAI_BASE_URL"], "api_key": os.environ["OPENAI_API_KEY"]}


class City(BaseModel):
    name: str
    inhabitants: int


def weather(city: str) -> str:
    """The weather in a city."""
    return f"Sunny in {city}."


llm = OpenAILike(
    model="demo",
    is_chat_model=True,
    is_function_calling_model=True,
    should_use_structured_outputs=True,
    context_window=4096,
    **PLACE,
)
question = [ChatMessage("What is the capital of France?")]
chat = llm.chat(question)
streamed = [part.delta for part in llm.stream_chat(question)]
used = llm.predict_and_call([FunctionTool.from_defaults(weather)], "What is the weather in 'Rome'?")
typed = llm.as_structured_llm(City).complete("Describe 'Rome' with 5 inhabitants.").raw
print(
    json.dumps(
        {
            "chat": chat.message.content,
            "streamed": "".join(part or "" for part in streamed),
            "used": used.response,
            "typed": typed.model_dump(),
        }
    )
)
