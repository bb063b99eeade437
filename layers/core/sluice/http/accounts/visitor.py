"""The sender of the current request, in the form that use cases take."""

from flask import request

from sluice.domain.accounts.visitor import Visitor
from sluice.http.auth import now_ms
from sluice.http.client import client_address
from sluice.http.language import browsers_language


def visitor() -> Visitor:
    return Visitor(client_address(), now_ms(), request.user_agent.string, browsers_language() or "")
