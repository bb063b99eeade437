"""People of the deployment, made by HTTP calls and the mails that SES got."""

import re

from tests.aws.emulator.command import sluice
from tests.aws.emulator.deployment import Deployment
from tests.e2e.people import PASSWORD, Person, log_in, new_address, post, register


def code_sent_to(deployment: Deployment, address: str) -> str:
    """The code in the newest mail's link, which must begin with the deployment's address."""
    link = re.compile(re.escape(deployment.outputs["Url"]) + r"/[a-z-]+\?token=(\S+)")
    texts = [mail["BodyText"] for mail in deployment.mails_to(address)]
    found = [match[1] for match in map(link.search, texts) if match]
    assert found, texts
    return found[-1]


def newcomer(deployment: Deployment) -> Person:
    """A person with a verified address, a session, and an API token."""
    address = register(deployment.base_url)
    answer = post(deployment.base_url, "/auth/verify-email", {"token": code_sent_to(deployment, address)})
    assert (answer.status_code, answer.json()) == (200, {"status": "verified"}), answer.text
    return with_api_token(log_in(deployment.base_url, address))


def admin(deployment: Deployment) -> Person:
    """An admin made as in docs/deploy.md: by `sluice admin create`, with the keys of the deploying account."""
    address, prefix = new_address(), deployment.table_prefix
    words = ("admin", "create", address, "--password-stdin")
    told = sluice(deployment.emulator, *words, typed=PASSWORD + "\n", SLUICE_TABLE_PREFIX=prefix)
    assert address in told
    return log_in(deployment.base_url, address)


def limit(admin: Person, person: Person, **limits: int) -> None:
    user = person.call("GET", "/account").json()["id"]
    answer = admin.call("PUT", f"/admin/users/{user}/limits", json=limits)
    assert answer.status_code == 200, answer.text


def with_api_token(person: Person) -> Person:
    minted = person.mint()
    person.api_token, person.token_id = minted["token"], minted["id"]
    return person


__all__ = ["PASSWORD", "Person", "code_sent_to", "log_in", "new_address", "newcomer", "post", "register"]
