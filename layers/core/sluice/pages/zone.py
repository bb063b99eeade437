"""The time zone whose days a page shows."""

from datetime import UTC, tzinfo

from flask import request

from sluice.domain import errors
from sluice.http.usage import zone_of

ZONE_COOKIE = "sluice_zone"  # set by `zone.js`: the name of the browser's time zone


def browsers_zone() -> tzinfo:
    """UTC until the browser has said its time zone, or if the zone is unknown here."""
    try:
        return zone_of(request.cookies.get(ZONE_COOKIE))
    except errors.ValidationFailed:
        return UTC
