"""The clients of docs/clients.md. `tests/clients/test_NAME.py` runs the client NAME."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
DEV, FRAMEWORKS, WRAPPERS, LLAMA_INDEX, LM_EVAL = (
    ROOT / "requirements-dev.lock",
    HERE / "frameworks.lock",
    HERE / "wrappers.lock",
    HERE / "llama_index.lock",
    HERE / "lm_eval.lock",
)
NPM = HERE / "package-lock.json"
OPENAI = "`base_url`: the address with `/v1`"
ANTHROPIC = "`base_url`: the address without `/v1`"


@dataclass(frozen=True)
class Client:
    """`lock` pins `package`, which is what is run. `setting`: what a user has to set besides the key."""

    title: str
    package: str
    lock: Path
    setting: str

    @property
    def version(self) -> str:
        """Errors: LookupError (the lock does not pin the package)."""
        if self.lock == NPM:
            return str(json.loads(NPM.read_text())["packages"][f"node_modules/{self.package}"]["version"])
        found = re.search(rf"^{re.escape(self.package)}==(\S+)", self.lock.read_text(), re.MULTILINE)
        if found is None:
            raise LookupError(f"{self.lock.name} does not pin {self.package}")
        return found[1]


CLIENTS = {
    "openai_python": Client("openai-python", "openai", DEV, OPENAI),
    "openai_resources": Client("openai-python's own tests", "openai", FRAMEWORKS, OPENAI),
    "anthropic_python": Client("Anthropic's SDK for Python", "anthropic", DEV, ANTHROPIC),
    "openai_node": Client("openai-node", "openai", NPM, OPENAI.replace("_url", "URL")),
    "anthropic_node": Client(
        "Anthropic's SDK for TypeScript", "@anthropic-ai/sdk", NPM, ANTHROPIC.replace("_url", "URL")
    ),
    "langchain": Client(
        "LangChain", "langchain-openai", FRAMEWORKS, f"{OPENAI}; embeddings: `check_embedding_ctx_length=False`"
    ),
    "llama_index": Client(
        "LlamaIndex",
        "llama-index-llms-openai-like",
        LLAMA_INDEX,
        "`api_base`: the address with `/v1`; `is_chat_model=True`, `is_function_calling_model=True`, `context_window`",
    ),
    "instructor": Client("instructor", "instructor", WRAPPERS, OPENAI),
    "pydantic_ai": Client("pydantic-ai", "pydantic-ai-slim", FRAMEWORKS, OPENAI),
    "openai_agents": Client(
        "OpenAI Agents SDK",
        "openai-agents",
        FRAMEWORKS,
        f"{OPENAI}; `set_tracing_disabled(True)`, or it sends traces to OpenAI",
    ),
    "litellm": Client(
        "LiteLLM, as a client",
        "litellm",
        WRAPPERS,
        "`openai/MODEL` with `api_base`: the address with `/v1`; or `anthropic/MODEL`, without",
    ),
    "vercel_ai": Client(
        "Vercel's AI SDK",
        "ai",
        NPM,
        "`@ai-sdk/openai-compatible` or `@ai-sdk/anthropic` with `baseURL`: the address with `/v1`",
    ),
    "llm": Client(
        "llm",
        "llm",
        WRAPPERS,
        "`extra-openai-models.yaml` with `api_base`: the address with `/v1`, and `api_key_name`; `llm keys set`",
    ),
    "opencode": Client(
        "OpenCode",
        "opencode-linux-x64",
        NPM,
        "a provider of `@ai-sdk/openai-compatible` or `@ai-sdk/anthropic` with `baseURL`: the address with `/v1`; "
        "the model's `limit`",
    ),
    "codex": Client(
        "Codex CLI",
        "@openai/codex",
        NPM,
        'a `model_providers` entry with `base_url`: the address with `/v1`, and `wire_api = "responses"`',
    ),
    "browser": Client(
        "A page of another origin, in Chromium",
        "openai",
        NPM,
        "`SLUICE_ALLOWED_ORIGINS` names the page's origin; `dangerouslyAllowBrowser: true`",
    ),
    "lm_eval": Client(
        "lm-evaluation-harness",
        "lm-eval",
        LM_EVAL,
        "`local-chat-completions` with `base_url`: the address with `/v1/chat/completions`; log-likelihoods: "
        "`local-completions` with `/v1/completions`, and `tokenizer`: the model's own",
    ),
}
