"""The model servers of the owner's settings, each built once for as long as its terms stay the same."""

from __future__ import annotations  # without upstreams of the owner nothing more is imported

import time
from typing import TYPE_CHECKING, Any

from sluice import settings
from sluice.once import once
from sluice.services.gateway.circuit import Circuit
from sluice.services.gateway.model_list import FRESH_SECONDS, ModelList
from sluice.services.gateway.routes import Routes, Server
from sluice.wiring import peers, stores
from sluice.wiring.settings import terms

if TYPE_CHECKING:
    from sluice.domain.settings.terms import Terms, UpstreamTerms
    from sluice.ports.gateway import Upstream
    from sluice.services.gateway.route import Routed


@once
def routed() -> Routed:
    from sluice.services.gateway.route import Routed

    return Routed(routes, stores.spend(), peers.now_ms)


def routes() -> Routes:
    """Of the settings in force."""
    return _built()(terms())


@once
def _built() -> _Built:
    return _Built()


class _Built:
    def __init__(self) -> None:
        self._routes: Routes | None = None
        self._servers: dict[UpstreamTerms, Server] = {}

    def __call__(self, wanted: Terms) -> Routes:
        found = self._routes
        if found is None or found.terms is not wanted:
            self._servers = {one: self._servers.get(one) or _server(one) for one in wanted.upstreams}
            found = self._routes = Routes(wanted, {server.terms.name: server for server in self._servers.values()})
        return found


class ModelHealth:
    """`sluice.ports.gateway.ModelServer`: the bundled engine. Other servers are not asked for their health, because one
    may charge for it: what they list is told."""

    def health(self) -> dict[str, Any]:
        return peers.model_health().health() if _has_engine() else {"http_status": 404}

    def models(self) -> list[dict[str, Any]]:
        return peers.model_health().models() if _has_engine() else routes().all()


def _has_engine() -> bool:
    return any(one.kind == "engine" for one in terms().upstreams)


def _server(one: UpstreamTerms) -> Server:
    if one.kind == "engine":
        listed = ModelList(upstream := peers.upstream())
    else:  # one that is silent holds up a request of others for its list, so seldom
        listed = ModelList(upstream := elsewhere(one), FRESH_SECONDS)
    return Server(one, upstream, listed, Circuit(time.monotonic))


def elsewhere(one: UpstreamTerms) -> Upstream:
    """A server that is not the bundled engine."""
    from sluice.adapters.gateway.function_url import is_bedrock, sign_for
    from sluice.adapters.gateway.named_models import NamedModels
    from sluice.adapters.gateway.upstream import HttpUpstream
    from sluice.adapters.gateway.upstream_keys import key_at

    wanted, service = settings.gateway(), one.sign.partition(":")[2]
    about: dict[str, Any] = {
        "connect_seconds": wanted.upstream_connect_seconds,
        "idle_seconds": wanted.upstream_idle_seconds,
        "sign": sign_for(one.url, "iam", service) if service else None,
        "key": key_at(one.key) if one.key else None,
        "is_ours": False,
    }
    if one.kind == "http":
        from sluice.adapters.gateway.http_model import HttpModel

        return HttpModel(one.url, speaks_v2=one.protocol == "v2", **about)
    if is_bedrock(one.url):
        return NamedModels(one.url, {name: name for name in one.models}, chat_only=True, **about)
    return HttpUpstream(one.url, **about)
