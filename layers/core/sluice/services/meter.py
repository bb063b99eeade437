"""Fold settled requests into the roll-ups, and what follows from them: a token's last use, the quota's mails."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sluice.domain.errors import StoreUnavailable
from sluice.domain.grants import PLAYGROUND
from sluice.domain.ids import request_time_ms
from sluice.domain.ledger import LedgerRecord
from sluice.ports import LedgerReader, RollupStore, TokenUses
from sluice.services.quota_mails import QuotaMails

log = logging.getLogger("sluice.metering")

DOWN_AFTER = 3  # so many in a row that the store refused: it is down, and each further try would only wait


@dataclass(frozen=True)
class Delivery:
    """One record of a batch. `delivery_id` is what the source knows it by, to deliver it again."""

    delivery_id: str
    account_id: str
    request_id: str


@dataclass(frozen=True)
class Metering:
    ledger: LedgerReader
    rollups: RollupStore
    tokens: TokenUses
    quota_mails: QuotaMails

    def meter(self, deliveries: Sequence[Delivery], now_ms: int) -> list[str]:
        """→ the deliveries to be made again, in their order. One that cannot be folded keeps no other back."""
        failed: set[str] = set()
        folded: list[tuple[Delivery, LedgerRecord]] = []
        refused_in_a_row = 0
        for delivery in deliveries:
            if refused_in_a_row >= DOWN_AFTER:
                failed.add(delivery.delivery_id)
                continue
            try:
                record = self._fold(delivery, now_ms)
            except Exception as exc:  # whatever is wrong with this one, the next may be right
                refused_in_a_row = refused_in_a_row + 1 if isinstance(exc, StoreUnavailable) else 0
                failed.add(delivery.delivery_id)
                log.warning("record not folded", exc_info=exc, extra={"request_id": delivery.request_id})
                continue
            refused_in_a_row = 0
            if record is not None:
                folded.append((delivery, record))
        self._note_uses(record for _, record in folded)
        failed |= self._mail(folded, now_ms)
        return [delivery.delivery_id for delivery in deliveries if delivery.delivery_id in failed]

    def _fold(self, delivery: Delivery, now_ms: int) -> LedgerRecord | None:
        record = self.ledger.get(delivery.account_id, delivery.request_id)
        if record is None:
            log.warning("ledger record is gone", extra={"request_id": delivery.request_id})
        elif record.rolled_up_ms is None:  # else it was delivered before
            self.rollups.fold(record, now_ms)
        return record

    def _note_uses(self, records: Iterable[LedgerRecord]) -> None:
        """Best effort: it is a hint in a list, and the token's next request sets it again."""
        last: dict[tuple[str, str], int] = {}
        for record in records:
            if record.token_id == PLAYGROUND:  # no row of the list
                continue
            key = record.account_id, record.token_id
            last[key] = max(last.get(key, 0), request_time_ms(record.request_id))
        try:
            for (account_id, token_id), used_ms in last.items():
                self.tokens.used(account_id, token_id, used_ms)
        except StoreUnavailable:
            log.warning("last use of API tokens not noted")

    def _mail(self, folded: list[tuple[Delivery, LedgerRecord]], now_ms: int) -> set[str]:
        """Once an account. Where it fails, the account's last delivery is asked for again: folding it twice is safe."""
        failed = set()
        for account_id, delivery in {record.account_id: delivery for delivery, record in folded}.items():
            try:
                self.quota_mails.check(account_id, now_ms)
            except StoreUnavailable:
                failed.add(delivery.delivery_id)
                log.warning("quota not checked", extra={"account_id": account_id})
        return failed
