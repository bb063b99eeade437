"""`python -m infra.aws.sam_local`: writes a template for `sam local`, which runs beside LocalStack (docs/local.md).

`sam local` passes only variables that the template declares, so the copy declares the store's address as well. Their
values are in `env.json`; a test compares it with the template.
"""

import re
import sys
from pathlib import Path

from infra.aws.building import BUILD

ENV = Path(__file__).with_name("env.json")
LOCAL = "template.local.yaml"
GLOBAL_VARIABLES = re.compile(r"(?m)^(Globals:\n(?:[ ].*\n)*?(?P<indent>[ ]+)Variables:\n)")
DECLARED = ("AWS_ENDPOINT_URL",)


def with_endpoint(built: str) -> str:
    """Raises ValueError when the template has no global variables."""
    found = GLOBAL_VARIABLES.search(built)
    if found is None:
        raise ValueError("the built template has no Globals with Variables")
    lines = "".join(f"{found['indent']}  {name}: unset\n" for name in DECLARED)
    return built[: found.end(1)] + lines + built[found.end(1) :]


def main() -> None:
    source = BUILD / "template.yaml"
    if not source.is_file():
        sys.exit(f"{source} is missing. Run `make localstack-up` first, which builds it.")
    (BUILD / LOCAL).write_text(with_endpoint(source.read_text()))
    print(
        f"sam local start-api --template {BUILD / LOCAL} --env-vars {ENV} --docker-network sluice-localstack "
        "--parameter-overrides Architecture=x86_64"
    )


if __name__ == "__main__":
    main()
