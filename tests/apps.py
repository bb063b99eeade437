"""Apps of some functions, each made once a process: they hold nothing of a test, and one costs up to 40 ms of CPU."""

from collections.abc import Iterable
from functools import cache

from flask import Blueprint, Flask

from sluice.http.app import create_app


def app_of(blueprints: Iterable[Blueprint]) -> Flask:
    return _made(tuple(blueprints))


@cache
def _made(blueprints: tuple[Blueprint, ...]) -> Flask:
    return create_app(blueprints)
