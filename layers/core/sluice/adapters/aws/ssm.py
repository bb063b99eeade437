"""Read one value from SSM Parameter Store: keys, and values that exist only after a deployment."""

from sluice.adapters.aws.json_service import SSM, JsonService, Refused, Unanswered
from sluice.domain.errors import Unavailable


def parameter(name: str, missing: str | None = None) -> str:
    """The parameter's value, decrypted; `missing`: instead of one that does not exist. Errors: Unavailable."""
    service = JsonService(SSM)  # not cached, because a process makes only one or two calls
    try:
        answer = service.call("GetParameter", {"Name": name, "WithDecryption": True})
    except (Refused, Unanswered) as exc:
        if missing is not None and isinstance(exc, Refused) and exc.code == "ParameterNotFound":
            return missing
        raise Unavailable() from exc
    finally:
        service.close()
    return str(answer["Parameter"]["Value"])
