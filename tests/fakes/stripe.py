"""A small Stripe over HTTP that has a state: customers, Checkout pages and subscriptions, as far as our calls reach.

stripe-mock, which checks the form of every call, has none: it gives the same answer whatever was done before.
"""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from stripe import WebhookSignature

KEY, SECRET = "sk_test_of_the_tests", "whsec_of_the_tests"
PRO, TEAM, FOREIGN = "price_pro", "price_team", "price_of_something_else"
ENDED = ("canceled", "incomplete_expired")


class FakeStripe:
    """`asked`: how often each call was made. `busy`: pages that are not closed when asked. `down`: every call gets 500.
    `slow`: called when it is decided what the answer will be, before it is sent."""

    def __init__(self) -> None:
        self.customers: dict[str, dict[str, Any]] = {}
        self.subscriptions: dict[str, dict[str, Any]] = {}
        self.pages: dict[str, dict[str, Any]] = {}
        self.asked: Counter[str] = Counter()
        self.busy: set[str] = set()
        self.down = False
        self.slow: Callable[[str], None] = lambda call: None
        self._by_key: dict[str, str] = {}
        self._number, self._lock = count(1), threading.RLock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    # --- what people do there

    def pay(self, page_id: str) -> str:
        """→ the subscription's id. Errors: AssertionError (the page is not open)."""
        with self._lock:
            page = self.pages[page_id]
            assert page["status"] == "open", page["status"]
            page["status"] = "complete"
            return self.subscribe(page["customer"], page["price"])

    def subscribe(self, customer: str, price: str, status: str = "active") -> str:
        with self._lock:
            number = next(self._number)
            made = f"sub_{number}"
            self.subscriptions[made] = {
                "id": made,
                "object": "subscription",
                "status": status,
                "customer": customer,
                "created": 1_800_000_000 + number,
                "metadata": {"sluice_account": self.customers[customer]["metadata"].get("sluice_account", "")},
                "items": {"object": "list", "data": [{"id": f"si_{number}", "price": {"id": price}}]},
            }
            return made

    def change(self, subscription: str, *, status: str = "", price: str = "") -> None:
        with self._lock:
            one = self.subscriptions[subscription]
            one["status"] = status or one["status"]
            if price:
                one["items"]["data"][0]["price"] = {"id": price}

    def delete(self, customer: str) -> None:
        """Its subscriptions end with it."""
        with self._lock:
            self.customers[customer] = {"id": customer, "object": "customer", "deleted": True}
            for one in self.subscriptions.values():
                if one["customer"] == customer:
                    one["status"] = "canceled"

    def live(self, customer: str) -> list[str]:
        return [
            one["id"]
            for one in self.subscriptions.values()
            if one["customer"] == customer and one["status"] not in ENDED
        ]

    def forget_keys(self) -> None:
        """Of requests, as after 24 hours; and those of test mode are not those of live mode."""
        self._by_key.clear()

    # --- what we ask

    def answer(self, method: str, path: str, form: dict[str, str], key: str) -> tuple[int, Any]:
        with self._lock:
            match [method, *path.removeprefix("/v1/").split("/")]:
                case ["POST", "customers"]:
                    return 200, self._new_customer(form, key)
                case ["GET", "customers", customer] if customer in self.customers:
                    return 200, self._customer(customer)
                case ["DELETE", "customers", customer] if "deleted" not in self.customers.get(
                    customer, {"deleted": True}
                ):
                    self.delete(customer)
                    return 200, self.customers[customer]
                case [_, "checkout", "sessions", *page]:
                    return self._of_page(method, page, form)
                case ["POST", "billing_portal", "sessions"]:
                    url = f"https://billing.stripe.com/p/session/{form['customer']}"
                    return 200, {"id": "bps_1", "object": "billing_portal.session", "url": url}
                case ["GET" | "DELETE", "customers", _]:  # Stripe names the part of the path so
                    return 404, _error("No such customer", "resource_missing", "id")
            return 404, _error("No such customer", "resource_missing", "customer")

    def _of_page(self, method: str, page: list[str], form: dict[str, str]) -> tuple[int, Any]:
        match [method, *page]:
            case ["GET"]:
                wanted = form["customer"], form["status"]
                found = [one for one in self.pages.values() if (one["customer"], one["status"]) == wanted]
                return 200, {"object": "list", "data": found, "has_more": False}
            case ["GET", made]:
                return 200, self.pages[made]
            case ["POST", made, "expire"]:
                if made in self.busy or self.pages[made]["status"] != "open":
                    return 400, _error("This Session is not open, or is being paid.", None, None)
                self.pages[made]["status"] = "expired"
                return 200, self.pages[made]
        return 200, self._new_page(form)

    def _new_customer(self, form: dict[str, str], key: str) -> Any:
        if key not in self._by_key:
            made = self._by_key[key] = f"cus_{next(self._number)}"
            about = {"sluice_account": form["metadata[sluice_account]"]}
            self.customers[made] = {"id": made, "object": "customer", "email": form["email"], "metadata": about}
        return self.customers[self._by_key[key]]

    def _customer(self, customer: str) -> Any:
        found = [self.subscriptions[one] for one in self.live(customer)]
        return {**self.customers[customer], "subscriptions": {"object": "list", "data": found[::-1], "has_more": False}}

    def _new_page(self, form: dict[str, str]) -> Any:
        made = f"cs_test_{next(self._number)}"
        self.pages[made] = {
            "id": made,
            "object": "checkout.session",
            "status": "open",
            "url": f"https://checkout.stripe.com/c/pay/{made}",
            "customer": form["customer"],
            "price": form["line_items[0][price]"],
            "client_reference_id": form["client_reference_id"],
            "metadata": {name: form[f"metadata[{name}]"] for name in ("sluice_account", "sluice_price")},
        }
        return self.pages[made]

    def _handler(stripe) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                form = dict(parse_qsl(parts.query or body))
                stripe.asked[f"{self.command} {parts.path}"] += 1
                if self.headers["Authorization"] != f"Bearer {KEY}":
                    status, value = 401, _error("Invalid API Key provided", None, None)
                elif stripe.down:
                    status, value = 500, _error("down", None, None)
                else:
                    key = self.headers.get("Idempotency-Key", "")
                    status, value = stripe.answer(self.command, parts.path, form, key)
                raw = json.dumps(value).encode()
                stripe.slow(f"{self.command} {parts.path}")
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            do_POST = do_DELETE = do_GET

            def log_message(self, *args: Any) -> None:
                pass

        return Handler


def _error(message: str, code: str | None, param: str | None) -> Any:
    return {"error": {"type": "invalid_request_error", "message": message, "code": code, "param": param}}


def event(kind: str, about: dict[str, Any], number: int = 1) -> str:
    """A body as Stripe sends it."""
    return json.dumps(
        {
            "id": f"evt_{number}",
            "object": "event",
            "type": kind,
            "created": 1_800_000_000 + number,
            "data": {"object": about},
        }
    )


def signed(body: str, secret: str = SECRET, age_s: int = 0) -> dict[str, str]:
    """By the library's own scheme."""
    made = WebhookSignature.generate_signature_header(body, secret, int(time.time()) - age_s)
    return {"Stripe-Signature": made, "Content-Type": "application/json"}
