"""Which servers a model has, in which order, and what is said of it."""

from typing import Any

import pytest

from sluice.domain.errors import Forbidden, ModelNotFound, ModelUnavailable
from sluice.domain.settings.owners import OwnersSettings
from sluice.domain.settings.terms import NO_TERMS, Terms, terms_of
from sluice.services.gateway.circuit import Circuit
from sluice.services.gateway.model_list import ModelList
from sluice.services.gateway.routes import Routes, Server

ENGINE = {"name": "local", "kind": "engine"}
CLOUD = {"name": "cloud", "kind": "openai", "url": "http://127.0.0.1:1", "leaves_home": True}


class Lists:
    """A model server of which only its list is asked."""

    def __init__(self, *rows: dict[str, Any] | Exception) -> None:
        self.rows = rows

    def models(self) -> list[Any]:
        for row in self.rows:
            if isinstance(row, Exception):
                raise row
        return list(self.rows)


def row(name: str, window: int | None = 4096, **more: Any) -> dict[str, Any]:
    return {"id": name, "object": "model", "context_window": window, **more}


def terms(**tables: Any) -> Terms:
    return terms_of(1, 1, OwnersSettings.model_validate(tables))


def routes(found: Terms, **lists: Lists) -> Routes:
    made = {}
    for one in found.upstreams:
        upstream: Any = lists[one.name]
        made[one.name] = Server(one, upstream, ModelList(upstream), Circuit(lambda: 0.0))
    return Routes(found, made)


def names(found: Routes, model: str, **more: Any) -> list[tuple[str, str]]:
    return [(step.server.terms.name, step.model) for step in found.steps(model, **more)]


def ids(found: Routes, **more: Any) -> list[str]:
    return [one["id"] for one in found.all(**more)]


def test_without_settings_the_one_server_is_asked_by_the_models_own_name() -> None:
    found = routes(NO_TERMS, local=Lists(row("demo")))
    assert names(found, "demo") == [("local", "demo")] and ids(found) == ["demo"]
    with pytest.raises(ModelNotFound):
        found.get("other")


def test_a_models_servers_are_tried_in_the_owners_order_each_by_its_own_name() -> None:
    model = {"id": "assistant", "upstreams": ["cloud:gpt", "local:qwen"]}
    found = routes(terms(upstreams=[ENGINE, CLOUD], models=[model]), local=Lists(row("qwen")), cloud=Lists(row("gpt")))
    assert names(found, "assistant") == [("cloud", "gpt"), ("local", "qwen")]
    assert names(found, "assistant", local_only=True) == [("local", "qwen")]


def test_a_model_has_the_smallest_context_of_its_servers_and_is_the_engines_only_if_all_are() -> None:
    model = {"id": "assistant", "upstreams": ["local:qwen", "cloud:gpt"]}
    wanted = terms(upstreams=[ENGINE, CLOUD], models=[model])
    found = routes(
        wanted, local=Lists(row("qwen", 8192, owned_by="sluice")), cloud=Lists(row("gpt", 4096, owned_by="them"))
    )
    one = found.get("assistant")
    assert (one["id"], one["context_window"], one["owned_by"]) == ("assistant", 4096, "")
    alone = routes(
        terms(upstreams=[ENGINE], models=[{**model, "upstreams": ["local:qwen"]}]),
        local=Lists(row("qwen", 8192, owned_by="sluice")),
    )
    assert (alone.get("assistant")["context_window"], alone.get("assistant")["owned_by"]) == (8192, "sluice")


def test_of_a_server_elsewhere_that_one_model_names_no_others_are_offered() -> None:
    lists = {"local": Lists(row("qwen")), "cloud": Lists(row("gpt"), row("expensive"))}
    model = {"id": "assistant", "upstreams": ["cloud:gpt"]}
    assert ids(routes(terms(upstreams=[ENGINE, CLOUD], models=[model]), **lists)) == ["assistant", "qwen"]
    assert ids(routes(terms(upstreams=[ENGINE, CLOUD]), **lists)) == ["qwen", "gpt", "expensive"]
    listed = {**CLOUD, "models": ["gpt"]}
    assert ids(routes(terms(upstreams=[ENGINE, listed], models=[model]), **lists)) == ["assistant", "qwen", "gpt"]
    with pytest.raises(ModelNotFound):
        routes(terms(upstreams=[ENGINE, listed]), **lists).get("expensive")


def test_what_stays_home_is_listed_and_asked_alone() -> None:
    model = {"id": "assistant", "upstreams": ["cloud:gpt"]}
    found = routes(terms(upstreams=[ENGINE, CLOUD], models=[model]), local=Lists(row("qwen")), cloud=Lists(row("gpt")))
    assert ids(found, local_only=True) == ["qwen"]
    for ask in (found.steps, found.get):
        with pytest.raises(Forbidden, match="leaves home"):
            ask("assistant", local_only=True)


def test_a_server_that_is_away_hides_only_its_own_models() -> None:
    model = {"id": "assistant", "upstreams": ["local:qwen", "cloud:gpt"]}
    wanted = terms(upstreams=[ENGINE, CLOUD], models=[model])
    found = routes(wanted, local=Lists(ModelUnavailable()), cloud=Lists(row("gpt")))
    assert ids(found) == ["assistant"] and names(found, "assistant")[0] == ("local", "qwen")
    nobody = routes(wanted, local=Lists(ModelUnavailable()), cloud=Lists(ModelUnavailable()))
    assert nobody.get("assistant")["id"] == "assistant", "the name of a server elsewhere is enough"
    with pytest.raises(ModelUnavailable):
        routes(NO_TERMS, local=Lists(ModelUnavailable())).all()


@pytest.mark.parametrize("rows", [({"object": "model"},), ("demo",), (None,), (7,)], ids=str)
def test_a_list_of_what_are_no_models_is_none(rows: Any) -> None:
    with pytest.raises(ModelUnavailable):
        routes(NO_TERMS, local=Lists(*rows)).all()


def test_the_engines_embedding_model_is_offered_beside_the_models_that_it_is_told() -> None:
    told = {**ENGINE, "models": ["qwen"]}
    found = routes(terms(upstreams=[told]), local=Lists(row("qwen"), row("all-minilm", capabilities=["embeddings"])))
    assert ids(found) == ["qwen", "all-minilm"] and names(found, "all-minilm") == [("local", "all-minilm")]
