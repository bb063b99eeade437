"""Requests made from a seed: the same seed and number give the same bytes, apart from ids and secrets of the run.

`@name@` in a request stands for an id or a secret of the running system (`world.py`), `@length@` for the body's length.
"""

import base64
import json
import random
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from flask import Flask

from functions.inference.app import create_app as create_engine
from infra.openapi import public_app
from sluice.http import lazy_model
from sluice.pages import links
from tests.unit.http.test_every_route import ENGINE, FORMS, LINES, NEVER_VALID, UPLOADS, VALUES
from tests.unit.inference import schemas
from tests.unit.inference.test_control_tokens import CONTROLS, Attacker

ROOT = Path(__file__).parents[2]
IDS = ("chat_id", "file_id", "vector_store_id", "batch_id", "response_id", "token_id", "session_id", "user_id")
OWN: dict[str, Any] = {name: f"@{name}@" for name in (*IDS, "password", "email")}
OWN |= {"model": "demo", "current_password": "@password@", "file_ids": ["@file_id@"]}
ASKING = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/messages", "/v1/responses", "/tokenize")
NAMES = {"name": "demo", "path:name": "demo"}
HEADERS = ("cookie", "authorization", "x-request-id", "origin", "x-forwarded-for", "accept", "accept-language", "host")
MORE_HEADERS = ("if-none-match", "range", "content-type", "content-encoding", "expect", "x-sluice-deadline-ms", "te")
ODD = ("", " ", "\t", "0", "-1", "é", "\xff\xfe", "%00", "null", "bytes=0-", "gzip", "100-continue", "a,b;q=2", "*/*")
PATHS = ("..", "%2e%2e%2f", "%00", "%ff", "%0d%0aX: y", "x" * 1200, "x" * 129, "é", "-", "[]", "%F0%9F%98%80", "x/y/z")
SCALARS = (None, True, -1, 0, 1, 0.5, 1e308, 2**63, "", "x", "\x00", "😀", "a" * 5000, "2026-02-30", [], {}, [[]])


@dataclass(frozen=True)
class Case:
    """`target`: "app" or "engine". A raw case may be left without an answer, because it may be no whole request."""

    target: str
    head: str
    body: bytes = b""
    raw: bool = False

    def filled(self, known: dict[str, str]) -> bytes:
        body = _replaced(self.body, known)
        return _replaced(self.head.encode("latin-1", "replace"), known | {"length": str(len(body))}) + body

    def as_json(self) -> dict[str, Any]:
        packed = base64.b64encode(zlib.compress(self.body, 9)).decode()
        return {"target": self.target, "head": self.head, "body": packed, "raw": self.raw}

    @classmethod
    def of(cls, entry: dict[str, Any]) -> "Case":
        return cls(entry["target"], entry["head"], zlib.decompress(base64.b64decode(entry["body"])), entry["raw"])


def _replaced(text: bytes, known: dict[str, str]) -> bytes:
    return re.sub(rb"@([a-z_]+)@", lambda found: known.get(found[1].decode(), found[0].decode()).encode(), text)


class Cases:
    """`case(number)`: request `number` of this seed."""

    def __init__(self, seed: int) -> None:
        lazy_model.prepare_all()
        self.seed, app = seed, public_app()
        self.routes = [(rule.rule, method, *_models(app, rule.endpoint)) for rule, method in _rules(app)]
        self.routes += 6 * [route for route in self.routes if route[0] in ASKING]  # what does most is asked most
        self.engine = [(rule.rule, method) for rule, method in _rules(create_engine())]
        templates = (ROOT / "layers/core/sluice/pages/templates").glob("*.html")
        self.fields = sorted({name for page in templates for name in re.findall(r'name="(\w+)"', page.read_text())})
        self.files = [path.read_bytes()[:20_000] for path in sorted((ROOT / "tests/data/documents/files").iterdir())]

    def case(self, number: int) -> Case:
        draw = _Draw(self, random.Random(f"{self.seed}/{number}"))
        return draw.dice.choices((draw.routed, draw.to_engine, draw.raw), (70, 15, 15))[0]()


def _rules(app: Flask) -> list[tuple[Any, str]]:
    rules = sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule)
    return [(rule, method) for rule in rules for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})]


def _models(app: Flask, endpoint: str) -> tuple[bool, Any, Any]:
    """Whether it is a page, the JSON schema of the body, and the names of the query."""
    declared = getattr(app.view_functions[endpoint], "__operation__", None)
    if declared is None:
        return True, None, ["q", "cursor", "tz", "next", "token", "page", "day", "status"]
    body = declared.body and not hasattr(declared.body, "media_type") and declared.body.model_json_schema()
    return (
        False,
        body,
        [field.alias or name for name, field in declared.query.model_fields.items()] if (declared.query) else [],
    )


def _form_token(rule: str) -> str:
    """Of the secret that the page's form is bound to."""
    members = "@admin_form_token@" if rule.startswith("/manage") else "@session_form_token@"
    return members if links.is_for_members(rule) else "@form_token@"


class _Draw:
    """The choices of one case."""

    def __init__(self, cases: Cases, dice: random.Random) -> None:
        self.cases, self.dice, self.attacker = cases, dice, Attacker(dice.randrange(2**32))

    def often(self, share: float) -> bool:
        return self.dice.random() < share

    def routed(self) -> Case:
        rule, method, page, schema, queries = self.dice.choice(self.cases.routes)
        path = re.sub(r"<([^>]+)>", lambda found: self.part(found[1]), rule)
        if self.often(0.4):
            path += "?" + urlencode([(self.dice.choice([*queries, "x"]), self.text()) for _ in range(3)], safe="@")
        headers, body = self.caller(rule, page), b""
        if method != "GET" or self.often(0.05):
            kind, body = (
                self.form(rule) if page else self.upload(rule) if rule == "/v1/files" else self.json(rule, schema)
            )
            headers["Content-Type"] = kind
        if self.often(0.05):
            method = self.dice.choice(("HEAD", "OPTIONS", "PUT", "TRACE", "PATCH", "x", "DELETE", "CONNECT"))
        return self.written("app", method, path, headers, body)

    def to_engine(self) -> Case:
        rule, method = self.dice.choice(self.cases.engine)
        path = re.sub(r"<([^>]+)>", lambda found: self.part(found[1]), rule)
        hostile = list((NEVER_VALID | ENGINE).values())
        body = self.dice.choice(hostile) if self.often(0.3) else self.json(rule, None)[1]
        headers = {"X-Sluice-Deadline-Ms": "@deadline@", "Content-Type": "application/json"}
        return self.written("engine", method, path, headers, body if method == "POST" else b"")

    def written(self, target: str, method: str, path: str, headers: dict[str, str], body: bytes) -> Case:
        headers = {"Host": "@host@", **headers}
        for _ in range(self.dice.choice((0, 0, 0, 1, 2))):
            line = self.dice.choice((*ODD, *ODD, *LINES.values(), self.text()))
            headers[self.dice.choice((*HEADERS, *MORE_HEADERS))] = re.sub(r"[\r\n\0]", "", line)
        raw = False
        if body and b"@" not in body and self.often(0.2):  # what is filled in would change the lengths of chunks
            size = self.dice.choice((100, 5000, 10**6))
            chunks = [body[at : at + size] for at in range(0, len(body), size)][:200]
            body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
            headers["Transfer-Encoding"], raw = "chunked", self.often(0.2)
            body = self.mutated(body) if raw else body
        elif body or method == "POST":
            headers["Content-Length"] = "@length@"
        lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items()), "Connection: close"]
        return Case(target, "\r\n".join(lines) + "\r\n\r\n", body, raw)

    def part(self, name: str) -> str:
        own = f"@{name}@" if name in IDS else NAMES.get(name, "x")
        odd = quote(self.text()[:300], safe="")
        return self.dice.choices((own, self.dice.choice(PATHS), odd, f"@{self.dice.choice(IDS)}@"), (80, 8, 7, 5))[0]

    def caller(self, rule: str, page: bool) -> dict[str, str]:
        secret = "@admin@" if rule.startswith(("/admin", "/manage")) else "@session@"
        if self.often(0.08):
            secret = self.dice.choice(("", "x", "@token@", "@session@x", "Bearer"))
        if page or (self.often(0.2) and not rule.startswith("/v1")):
            cookies = f"sluice_session={secret}; sluice_form=@form@"
            return {"Cookie": cookies, "Origin": "http://@host@", "Sec-Fetch-Site": "same-origin"}
        return {"Authorization": f"Bearer {'@token@' if rule.startswith('/v1') else secret}"}

    def text(self) -> str:
        some = (*IDS, "password", "email", "code")
        own = f"@{self.dice.choice(some)}@"
        return str(self.dice.choice((self.attacker.text(), own, self.dice.choice(TEXTS), self.dice.choice(CONTROLS))))

    # --- bodies

    def json(self, rule: str, schema: Any) -> tuple[str, bytes]:
        if self.often(0.15):
            body = self.dice.choice(list(NEVER_VALID.values()))
        else:
            value = self.conversation(rule) if rule in ASKING and self.often(0.8) else self.value(schema or {}, schema)
            if isinstance(value, dict) and self.often(0.15):
                name = self.dice.choice(list(value) or ["x"])
                value = {**value, name: self.dice.choice((*VALUES.values(), *SCALARS, self.attacker.value()))}
            body = json.dumps(value, ensure_ascii=self.often(0.5)).encode("utf-8", "surrogatepass")
            body = self.mutated(body) if self.often(0.15) else body
        return self.dice.choices(("application/json", "text/plain", "application/json; charset=utf-16"), (94, 3, 3))[
            0
        ], body

    def conversation(self, rule: str) -> Any:
        """A body of a model's route: a history against its template, tools and schemas against the grammar."""
        last = rule.rpartition("/")[2]
        if last == "embeddings" or rule == "/v1/completions" or last == "tokenize":
            own = [self.text() for _ in range(3)]
            value = self.dice.choice((own, own[0], [1, 2, 3], [[1], [2]], [-1], [10**9], []))
            return {
                "model": "all-minilm-l6-v2" if last == "embeddings" else "demo",
                "input": value,
                "prompt": value,
                "max_tokens": 4,
                "text": own[0],
            }
        roles = ("system", "user", "assistant") + (last == "completions") * ("tool",)
        body = self.attacker.conversation(self.dice.choices(roles, k=self.dice.choice((1, 1, 2, 5))))
        body |= {"model": "demo", "stream": self.often(0.3), "max_tokens": self.dice.choice((1, 4, 16))}
        hostile = self.often(0.4) and self.dice.choice(list(schemas.HOSTILE.values()))
        schema = hostile or schemas.generated(self.dice.randrange(10**6))
        form = {"name": "s", "schema": schema, "strict": self.often(0.5)}
        function = {"name": "f", "parameters": schema, "strict": True}
        if last == "messages":
            choice = self.dice.choice(({"type": "auto"}, {"type": "any"}, {"type": "tool", "name": "f"}))
            tools = {"tools": [{"name": "f", "input_schema": schema}], "tool_choice": choice}
            asked = {"output_config": {"format": {"type": "json_schema", "schema": schema}}}
            return body | (tools if self.often(0.4) else asked)
        flat = last == "responses"
        body["tools"] = [{"type": "function"} | (function if flat else {"function": function})]
        body["tool_choice"] = self.dice.choice(("auto", "required", {"type": "function", "function": {"name": "f"}}))
        if self.often(0.6):
            del body["tools"], body["tool_choice"]
            body["response_format"] = {"type": "json_schema", "json_schema": form}
        if flat:
            turns = [{"role": turn["role"], "content": turn["content"]} for turn in body.pop("messages")]
            body |= {"input": turns, "max_output_tokens": body.pop("max_tokens")}
            body |= {"text": {"format": {"type": "json_schema", **form}}} if self.often(0.4) else {}
            body |= {"previous_response_id": "@response_id@"} if self.often(0.2) else {}
        return body

    def value(self, schema: Any, root: Any, depth: int = 0) -> Any:
        """Mostly what the schema wants, so that what lies behind the validation is reached."""
        if "$ref" in schema:
            schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
        if self.often(0.08) or depth > 6:
            return self.dice.choice((*SCALARS, self.attacker.value()))
        for several in ("anyOf", "oneOf", "enum"):
            if several in schema:
                one = self.dice.choice(schema[several])
                return one if several == "enum" else self.value(one, root, depth + 1)
        if schema.get("type") == "object" or "properties" in schema:
            known = schema.get("properties", {})
            wanted = [name for name in known if name in schema.get("required", ()) or self.often(0.5)]
            return {name: self.named(name, known[name], root, depth + 1) for name in wanted} or {self.text(): 1}
        if schema.get("type") == "array":
            return [self.value(schema.get("items", {}), root, depth + 1) for _ in range(self.dice.randint(0, 3))]
        if schema.get("type") in ("integer", "number"):
            return self.dice.choice((0, 1, 2, schema.get("minimum", -1), schema.get("maximum", 100), 2**31, 0.7))
        return self.often(0.5) if schema.get("type") == "boolean" else schema.get("const", self.text())

    def named(self, name: str, schema: Any, root: Any, depth: int) -> Any:
        own = OWN.get(name)
        return own if own and self.often(0.7) else self.value(schema, root, depth)

    def form(self, rule: str) -> tuple[str, bytes]:
        if self.often(0.1):
            return self.upload(rule)
        if self.often(0.15):
            return "application/x-www-form-urlencoded", self.dice.choice(list(FORMS.values()))
        names = self.dice.choices(self.cases.fields, k=self.dice.randint(1, 12))
        values = {name: f"@{name}@" if name in ("email", "password") else self.text() for name in names}
        return "application/x-www-form-urlencoded", urlencode(
            values | {"form_token": _form_token(rule)}, safe="@"
        ).encode()

    def upload(self, rule: str) -> tuple[str, bytes]:
        kind = "multipart/form-data; boundary=b"
        if self.often(0.2):
            return kind, self.dice.choice(list(UPLOADS.values()))
        content = self.dice.choice(self.cases.files)
        content = self.mutated(content) if self.often(0.6) else content
        ending = self.dice.choice((".txt", ".md", ".pdf", ".docx", ".html", ".csv", ".json", "", ".\x00", "/../x.txt"))
        name = re.sub(r'[\r\n"]', "", self.attacker.text()[:80]) + ending
        fields = {
            "purpose": self.dice.choice(("assistants", "user_data", self.text())),
            "form_token": _form_token(rule),
        }
        parts = [f'--b\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in fields.items()]
        parts.append(f'--b\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n')
        body = "".join(parts).encode("utf-8", "replace") + content + b"\r\n--b--\r\n"
        return kind, self.mutated(body) if self.often(0.1) else body

    def mutated(self, data: bytes) -> bytes:
        made = bytearray(data)
        for _ in range(self.dice.randint(1, 6)):
            at = self.dice.randrange(len(made) + 1)
            cut = at + self.dice.choice((0, 1, 4, 100))
            made[at:cut] = self.dice.choice(
                (b"", b"\xff", b"\x00", b'"', b"{", b"\\", b"\r\n", bytes(made[at : at + 200]))
            )
        return bytes(made)

    # --- what is no request

    def raw(self) -> Case:
        whole = self.routed() if self.often(0.7) else self.to_engine()
        data = whole.head.encode("latin-1", "replace") + whole.body[:100_000]
        kinds = (
            lambda: data[: self.dice.randrange(len(data))],  # a half request
            lambda: data.replace(b"Connection: close\r\n", b"") * self.dice.randint(2, 20),  # pipelining
            lambda: self.mutated(data[:300]) + data[300:],
            lambda: self.dice.choice(HEADS),
            lambda: self.dice.randbytes(self.dice.choice((1, 100, 10_000))),
        )
        return Case(whole.target, "", self.dice.choice(kinds)(), raw=True)


TEXTS = ("", "x", "user@example.com", "2026-01-01", "00:00", "Europe/Berlin", "é" * 300, "a" * 10_000, "-1", "9" * 30)
GET = b"GET /healthz HTTP/1.1\r\nHost: @host@\r\n"
POST = b"POST /auth/login HTTP/1.1\r\nHost: @host@\r\nContent-Type: application/json\r\n"
HEADS = (
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
    b"A" * 100_000,
    GET + b"X-A: " + b"b" * 100_000 + b"\r\n\r\n",
    GET + b"X-A: b\r\n" * 5_000 + b"\r\n",
    GET + b" folded: yes\r\n\r\n",
    GET + b"Host: twice\r\n\r\n",
    GET + b"No Colon\r\n\r\n",
    GET.replace(b"1.1", b"1.0") + b"\r\n",
    GET.replace(b"1.1", b"2.0") + b"\r\n",
    GET.replace(b"1.1", b"9") + b"\r\n",
    GET.replace(b"/healthz", b"http://other/healthz") + b"\r\n",
    GET.replace(b"/healthz", b"*") + b"\r\n",
    b"\r\n" * 1000 + GET + b"\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n" + GET + b"\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    POST + b"Content-Length: -1\r\n\r\n{}",
    POST + b"Content-Length: 99999999999999999999\r\n\r\n{}",
    POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    POST + b"Content-Length: +2\r\n\r\n{}",
    POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    POST + b"Transfer-Encoding: gzip\r\n\r\n{}",
    POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 5000 + b"\r\n",
    POST + b"Transfer-Encoding: chunked\r\n\r\n2;" + b"x" * 50_000 + b"\r\n{}\r\n0\r\n\r\n",
    POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n{\r\n" * 20_000 + b"0\r\n\r\n",
    POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"T: v\r\n" * 5000 + b"\r\n",
)
