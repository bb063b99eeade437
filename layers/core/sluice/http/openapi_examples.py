"""Request bodies that work as they stand, for people who try a call in `/docs`. By the name of the body's model."""

from typing import Any

EXAMPLES: dict[str, dict[str, Any]] = {
    "RegisterBody": {"email": "ada@example.com", "password": "correct horse battery", "name": "Ada"},
    "LoginBody": {"email": "ada@example.com", "password": "correct horse battery"},
    "IssueTokenBody": {"name": "laptop", "expires_in": "7d"},
    "ChatBody": {"model": "demo", "messages": [{"role": "user", "content": "What is the capital of France?"}]},
    "CompletionBody": {"model": "demo", "prompt": "The capital of France is", "max_tokens": 16},
    "EmbeddingBody": {"model": "demo", "input": "Which river runs through Paris?"},
    "ResponseBody": {"model": "demo", "input": "What is the capital of France?"},
}
