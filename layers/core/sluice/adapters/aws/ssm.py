"""One value out of Systems Manager's parameter store: keys, and on AWS what only a finished deployment knows."""

from sluice.adapters.aws.json_service import SSM, JsonService, Refused, Unanswered
from sluice.domain.errors import Unavailable


def parameter(name: str) -> str:
    """SecureStrings come decrypted. Errors: Unavailable."""
    service = JsonService(SSM)  # for one or two calls in a process's life: nothing is kept open
    try:
        answer = service.call("GetParameter", {"Name": name, "WithDecryption": True})
    except (Refused, Unanswered) as exc:
        raise Unavailable() from exc
    finally:
        service.close()
    return str(answer["Parameter"]["Value"])
