"""On Lambda, functions whose callers wait import neither botocore nor the models (docs/adr/0077)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sluice.adapters.tokens.keys import ensure_keys
from tests.conftest import Store

WAITED_FOR = (
    "registration", "verification", "accounts", "factors", "webhooks", "tokens", "usage", "chats", "files", "gateway",
    "web",
)  # fmt: skip
STORES = (
    "account_store", "audit_log", "ledger_reader", "rollup_store", "content_store", "hot_store", "throttles",
    "session_store", "token_store", "grant_store", "mail_store", "chat_store", "file_store", "vector_store_store",
    "factor_store", "webhook_store",
)  # fmt: skip
HEAVY = ("boto3", "botocore", "pynamodb", "awscrt", "webauthn", "pyotp", "segno", "authlib", "joserfc")
SAY = f"import json, sys; print(json.dumps([name for name in {HEAVY} if name in sys.modules]))"
ROOT = Path(__file__).parents[3]
REGISTER = {
    "resource": "/auth/register",
    "path": "/auth/register",
    "httpMethod": "POST",
    "headers": {"Host": "x", "Content-Type": "application/json"},
    "multiValueHeaders": {"Host": ["x"], "Content-Type": ["application/json"]},
    "queryStringParameters": None,
    "multiValueQueryStringParameters": None,
    "requestContext": {"stage": "live", "identity": {"sourceIp": "192.0.2.7"}},
    "body": json.dumps({"email": "ann@example.com", "password": "correct horse battery staple"}),
    "isBase64Encoded": False,
}


def imported(program: str, data_dir: Path) -> list[str]:
    """The heavy packages that a fresh process on Lambda has imported after `program`."""
    environment = {**os.environ, "AWS_LAMBDA_FUNCTION_NAME": "f", "PYTHONPATH": f"layers/core{os.pathsep}."}
    environment |= {"SLUICE_DATA_DIR": str(data_dir), "SLUICE_LOCAL": "0"}
    command = [sys.executable, "-c", f"{program}\n{SAY}"]
    told = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert told.returncode == 0, told.stderr[-2000:]
    return list(json.loads(told.stdout.splitlines()[-1]))


def test_no_function_and_no_store_imports_a_heavy_client(store: Store, tmp_path: Path) -> None:
    """One process for all, which names the first that does."""
    heavy = f"[name for name in {HEAVY} if name in sys.modules]"
    program = "import sys\nfrom sluice.wiring import stores\n" + "\n".join(f"stores.{name}()" for name in STORES)
    for function in WAITED_FOR:
        program += f"\nimport functions.{function}.app\nassert not {heavy}, ({function!r}, {heavy})"
    assert imported(program, tmp_path) == []


def test_a_whole_registration_imports_no_heavy_client(store: Store, tmp_path: Path) -> None:
    ensure_keys(tmp_path)
    program = "from functions.registration.app import handler\n"
    program += f"answer = handler({REGISTER!r}, None)\nassert answer['statusCode'] == 202, answer"
    assert imported(program, tmp_path) == []


def test_the_first_signed_call_to_the_model_or_to_the_search_imports_no_heavy_client(
    store: Store, tmp_path: Path
) -> None:
    program = "from sluice.adapters.gateway.function_url import sign_for\n"
    program += "sign = sign_for('https://abc123.lambda-url.eu-west-1.on.aws', 'auto')\n"
    program += "assert 'authorization' in sign('POST', 'abc123', '/v1/chat/completions', b'{}')"
    assert imported(program, tmp_path) == []


@pytest.mark.parametrize("function", ["metering", "mailer", "sweeper", "bounces"])
def test_functions_without_a_waiting_caller_use_the_models(store: Store, tmp_path: Path, function: str) -> None:
    calls = {
        "metering": "stores.token_uses().used('usr_a', 'tok_a', 1)",
        "mailer": "stores.account_store().mail_suppression('a@example.com')",
        "sweeper": "list(stores.mail_store().overdue(0, 1))",
        "bounces": "stores.account_store().suppress_mail('a@example.com', 'bounce', 1)",
    }
    program = f"import functions.{function}.app\nfrom sluice.wiring import stores\n{calls[function]}"
    assert "pynamodb" in imported(program, tmp_path)


def test_a_start_on_a_store_of_this_version_imports_no_heavy_client(tmp_path: Path) -> None:
    """`make up` compares the store's record with the declaration's text."""
    program = "from infra.local import tables_ready\nfrom infra.migrations import record\n"
    program += "assert not tables_ready._is_current({})\nassert len(record.fingerprint()) == 16"
    assert imported(program, tmp_path) == []
