"""How many exchanges of each account and with each model run, how many have ended, and how long they took."""

from collections import OrderedDict
from dataclasses import dataclass

MOST_KEPT = 10_000  # accounts and models
WEIGHT = 0.2  # of the newest exchange in a mean
UNKNOWN_SECONDS = 5.0  # how long an exchange takes while none has ended


@dataclass
class _Flow:
    running: int = 0
    ended: int = 0
    mean_s: float | None = None

    def took(self, seconds: float) -> None:
        self.mean_s = seconds if self.mean_s is None else self.mean_s + WEIGHT * (seconds - self.mean_s)


class Flows:
    """Not thread-safe. Forgets what has not run for longest."""

    def __init__(self) -> None:
        self._flows: OrderedDict[tuple[bool, str], _Flow] = OrderedDict()

    def began(self, account_id: str, model: str) -> None:
        for flow in self._both(account_id, model):
            flow.running += 1

    def ended(self, account_id: str, model: str, seconds: float | None) -> None:
        """`seconds`: None for one that the model has not begun. It ends for the account only, and its time counts for
        nothing."""
        of_account, with_model = self._both(account_id, model)
        of_account.ended += 1
        with_model.ended += seconds is not None
        for flow in (of_account, with_model):
            flow.running = max(0, flow.running - 1)
            if seconds is not None:
                flow.took(seconds)

    def ends(self, account_id: str, model: str) -> tuple[int, int]:
        """How many of the account and with the model have ended so far."""
        of_account, with_model = self._both(account_id, model)
        return of_account.ended, with_model.ended

    def seconds_each(self, account_id: str, model: str, *, for_model: bool) -> float:
        """The mean time between two ends, of exchanges with the model or of the account: by Little's law, the mean
        time that one takes, divided by how many run at once."""
        of_account, with_model = self._both(account_id, model)
        flow = with_model if for_model else of_account
        known = (mean for mean in (flow.mean_s, with_model.mean_s) if mean is not None)
        return next(known, UNKNOWN_SECONDS) / max(1, flow.running)

    def _both(self, account_id: str, model: str) -> tuple[_Flow, _Flow]:
        return self._flow((False, account_id)), self._flow((True, model))

    def _flow(self, key: tuple[bool, str]) -> _Flow:
        if (flow := self._flows.get(key)) is None:
            flow = self._flows[key] = _Flow()
            if len(self._flows) > MOST_KEPT:
                self._forget(key)
        self._flows.move_to_end(key)
        return flow

    def _forget(self, but: tuple[bool, str]) -> None:
        idle = next((key for key, flow in self._flows.items() if not flow.running and key != but), None)
        if idle is not None:
            del self._flows[idle]
