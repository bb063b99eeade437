"""Which model servers there are, which models they answer, and in which order they are tried."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sluice.domain.errors import Forbidden, ModelNotFound, ModelUnavailable
from sluice.domain.settings.terms import Terms, UpstreamTerms
from sluice.ports.gateway import Upstream
from sluice.services.gateway.circuit import Circuit
from sluice.services.gateway.model_list import ModelList

CAN = {"plain": ("run",), "v2": ("run", "infer")}  # a server of kind `http`, by its protocol
OWN_ENGINE = "sluice"  # `owned_by` of its models; it shortens an answer to the context itself


@dataclass(frozen=True)
class Server:
    """A model server, for as long as its terms stay the same."""

    terms: UpstreamTerms
    upstream: Upstream
    listed: ModelList
    circuit: Circuit

    def row(self, model: str) -> dict[str, Any] | None:
        """What it says of a model; of a server that is not ours the name is enough. None if it has no such model.
        Errors: ModelUnavailable."""
        if self._only and model not in self._only:
            return None
        if self.terms.kind == "http":
            return {
                "id": model,
                "object": "model",
                "created": 0,
                "owned_by": "",
                "capabilities": [*CAN[self.terms.protocol]],
            }
        try:
            if (found := self.listed.find(model)) is not None:
                return found
        except ModelUnavailable:
            if not self.is_foreign:
                raise
        return {"id": model, "object": "model", "created": 0, "owned_by": ""} if self.is_foreign else None

    def own_rows(self) -> list[dict[str, Any]]:
        """Of the models that it offers by its own names. Errors: ModelUnavailable."""
        if self._only:
            return [row for name in self._only if (row := self.row(name)) is not None]
        return self.listed.all()

    def may_have(self, model: str) -> bool:
        """By what is known without asking it."""
        return model in self._only if self._only else self.listed.may_have(model)

    @property
    def _only(self) -> tuple[str, ...]:
        """The only models that it is asked for. The engine is told its models at its start, and has an embedding model
        beside them, so what it lists is what it has."""
        return self.terms.models if self.is_foreign else ()

    @property
    def is_foreign(self) -> bool:
        """Not the bundled engine, nor what stands in its place."""
        return self.terms.kind != "engine"


class Step(NamedTuple):
    """A server to ask, and its own name of the model."""

    server: Server
    model: str


class Routes:
    def __init__(self, terms: Terms, servers: Mapping[str, Server]) -> None:
        """`servers`: by name, in the order of the settings."""
        self.terms, self.servers = terms, servers
        self._routed = {
            model: tuple(Step(servers[name], theirs) for name, theirs in route) for model, route in terms.routes.items()
        }
        # The servers whose models have their own names here, too. A foreign server of which the owner names one model
        # offers no others, because those have no price.
        named = {name for route in terms.routes.values() for name, _ in route}
        self._offering = tuple(
            server
            for name, server in servers.items()
            if server.terms.kind != "http" and (not server.is_foreign or server.terms.models or name not in named)
        )

    def steps(self, model: str, *, local_only: bool = False) -> Sequence[Step]:
        """The servers of a model in the order of trying. Without a route of its own: those that may have it. Errors:
        Forbidden (local-only, and each leaves home), ModelNotFound."""
        found: Sequence[Step] = self._routed.get(model) or [
            Step(server, model) for server in self._offering if server.may_have(model)
        ]
        if not found:
            raise ModelNotFound(f"The model {model!r} does not exist or you do not have access to it.")
        if local_only and not (found := [step for step in found if not step.server.terms.leaves_home]):
            raise Forbidden(f"This request is local-only, and each server of the model {model!r} leaves home.")
        return found

    def all(self, *, local_only: bool = False) -> list[dict[str, Any]]:
        """OpenAI's model objects. What a server that is away offers is left out, unless it is known. Errors:
        ModelUnavailable, if nothing is known of any."""
        found: dict[str, dict[str, Any]] = {}
        problem: ModelUnavailable | None = None
        for model in self.terms.routes:
            try:
                found[model] = self.get(model, local_only=local_only)
            except (ModelNotFound, Forbidden):
                continue
            except ModelUnavailable as exc:
                problem = exc
        for server in self._offering:
            if local_only and server.terms.leaves_home:
                continue
            try:
                found |= {str(row["id"]): row for row in server.own_rows() if row["id"] not in found}
            except ModelUnavailable as exc:
                problem = exc
        if not found and problem is not None:
            raise problem
        return list(found.values())

    def names(self, capability: str) -> list[str]:
        """Names of the models with this capability, or that state no capabilities. Errors: ModelUnavailable."""
        return [str(model["id"]) for model in self.all() if capability in model.get("capabilities", [capability])]

    def get(self, model: str, *, local_only: bool = False) -> dict[str, Any]:
        """What the first server that knows the model says of it, with the smallest context of all. Errors: as
        `steps`, and ModelUnavailable."""
        rows, problem = [], None
        for step in self.steps(model, local_only=local_only):
            try:
                if (row := step.server.row(step.model)) is not None:
                    rows.append(row)
            except ModelUnavailable as exc:
                problem = exc
        if not rows:
            raise problem or ModelNotFound(f"The model {model!r} does not exist or you do not have access to it.")
        if len(rows) == 1 and rows[0]["id"] == model:
            return rows[0]
        windows = [int(row["context_window"]) for row in rows if row.get("context_window")]
        owners = {row.get("owned_by", "") for row in rows}
        owned_by = owners.pop() if len(owners) == 1 else ""
        return {**rows[0], "id": model, "owned_by": owned_by, "context_window": min(windows, default=None)}
