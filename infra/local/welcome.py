"""The message at the end of a start: addresses, model, next steps."""

from infra.local.config import LocalConfig, admin_command
from infra.place import DEMO

DEMO_MODEL = "demo"


def ready_lines(config: LocalConfig, model: str, source: str, seconds: float) -> str:
    demo = model.startswith(DEMO_MODEL)
    who = "demo model: knows capitals and sums; for a real one: `sluice model pull qwen2.5-0.5b-instruct`"
    outbox = (
        f"""
  mails: the outbox, {config.url}/_local/outbox?to=ada@example.org"""
        if config.mail == "outbox"
        else ""
    )
    return f"""
sluice is ready at {config.url}  ({seconds:.1f} s)
  model: {model} ({who if demo else f"from {source}"}){outbox}
  pages: {config.url}/ to sign up, make API tokens and see usage; {config.url}/docs to try every call
  admin: {admin_command(config.data_dir)}  makes you the first one
  next:  `{DEMO}` in a second terminal walks through the whole path; or begin it yourself:
    curl -s {config.url}/auth/register -H 'content-type: application/json' \\
      -d '{{"email":"ada@example.org","password":"correct horse battery"}}'
  data:  {config.data_dir}  (Ctrl-C stops everything; nothing is lost)
"""
