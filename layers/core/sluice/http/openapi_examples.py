"""Request bodies that work unchanged, by operation id, for the forms in `/docs`."""

from typing import Any

EXAMPLES: dict[str, dict[str, Any]] = {
    "registration_sign_up": {"email": "ada@example.com", "password": "correct horse battery", "name": "Ada"},
    "accounts_log_in": {"email": "ada@example.com", "password": "correct horse battery"},
    "tokens_issue": {"name": "laptop", "expires_in": "7d"},
    "gateway_chat_completions": {
        "model": "demo",
        "messages": [{"role": "user", "content": "What is the capital of France?"}],
    },
    "gateway_completions": {"model": "demo", "prompt": "The capital of France is", "max_tokens": 16},
    "gateway_embeddings": {"model": "demo", "input": "Which river runs through Paris?"},
    "gateway_create_response": {"model": "demo", "input": "What is the capital of France?"},
}
