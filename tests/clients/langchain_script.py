"""LangChain's own standard tests of a chat model, over OpenAI's API and over Anthropic's.

Run by pytest beside LangChain's packages. Addresses and keys are in the environment.
"""

from typing import Any

from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests


class TestOverOpenAI(ChatModelIntegrationTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": "demo", "stream_usage": True}

    @property
    def supports_json_mode(self) -> bool:
        return True


class TestOverResponses(TestOverOpenAI):
    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": "demo", "use_responses_api": True}


class TestOverAnthropic(ChatModelIntegrationTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatAnthropic

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": "demo"}
