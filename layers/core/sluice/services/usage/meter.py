"""Fold settled requests into the roll-ups, then note each token's last use and queue quota mails."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sluice.domain.errors import StoreUnavailable
from sluice.domain.gateway.grants import PLAYGROUND
from sluice.domain.ids import request_time_ms
from sluice.domain.usage.ledger import LedgerRecord
from sluice.domain.usage.usage import Bucket, bucket_of
from sluice.ports.tokens import TokenUses
from sluice.ports.usage import LedgerReader, RollupStore
from sluice.services.mails.quota import QuotaMails

log = logging.getLogger("sluice.metering")

AT_ONCE = 99  # a transaction writes 100 items, and one of them is the roll-up
DOWN_AFTER = 3  # after so many calls in a row without an answer the store counts as down, and the batch ends


@dataclass(frozen=True)
class Delivery:
    """One record of a batch. `delivery_id` is the source's id, by which it delivers the record again."""

    delivery_id: str
    account_id: str
    request_id: str


class _Patience:
    """Counts how often in a row the store did not answer."""

    def __init__(self) -> None:
        self._refused = 0

    @property
    def over(self) -> bool:
        return self._refused >= DOWN_AFTER

    def note(self, exc: Exception | None) -> None:
        self._refused = self._refused + 1 if isinstance(exc, StoreUnavailable) else 0


@dataclass(frozen=True)
class Metering:
    ledger: LedgerReader
    rollups: RollupStore
    tokens: TokenUses
    quota_mails: QuotaMails

    def meter(self, deliveries: Sequence[Delivery], now_ms: int) -> list[str]:
        """→ ids of the deliveries to repeat, in order. A record that cannot be folded does not hold up the others."""
        patience = _Patience()
        found, failed = self._read(deliveries, patience)
        unmarked = {record.request_id: record for _, record in found if record.rolled_up_ms is None}
        not_folded = self._fold(unmarked.values(), now_ms, patience)
        failed |= {delivery.delivery_id for delivery, record in found if record.request_id in not_folded}
        folded = [(delivery, record) for delivery, record in found if record.request_id not in not_folded]
        self._note_uses(record for _, record in folded)
        failed |= self._mail(folded, now_ms)
        return [delivery.delivery_id for delivery in deliveries if delivery.delivery_id in failed]

    def _read(
        self, deliveries: Sequence[Delivery], patience: _Patience
    ) -> tuple[list[tuple[Delivery, LedgerRecord]], set[str]]:
        """The stream has only keys, so read the records. → the records, and the deliveries that could not be read."""
        found: list[tuple[Delivery, LedgerRecord]] = []
        failed: set[str] = set()
        for delivery in deliveries:
            if patience.over:
                failed.add(delivery.delivery_id)
                continue
            try:
                record = self.ledger.get(delivery.account_id, delivery.request_id)
                if record is not None:
                    bucket_of(record)  # raises for a malformed id, so that this record fails alone
            except Exception as exc:  # the next record may still be readable
                patience.note(exc)
                failed.add(delivery.delivery_id)
                log.warning("record not read", exc_info=exc, extra={"request_id": delivery.request_id})
                continue
            patience.note(None)
            if record is None:
                log.warning("ledger record is gone", extra={"request_id": delivery.request_id})
            else:
                found.append((delivery, record))
        return found, failed

    def _fold(self, records: Iterable[LedgerRecord], now_ms: int, patience: _Patience) -> set[str]:
        """Fold all records of a roll-up in one transaction, which costs one commit; if that fails (another handler has
        folded one of them, or one is malformed), one by one. → ids of the records that could not be folded."""
        groups: dict[tuple[str, Bucket], list[LedgerRecord]] = defaultdict(list)
        for record in records:
            groups[record.account_id, bucket_of(record)].append(record)
        failed: set[str] = set()
        for group in groups.values():
            for start in range(0, len(group), AT_ONCE):
                together = group[start : start + AT_ONCE]
                if len(together) > 1 and self._fold_once(together, now_ms, patience):
                    continue
                failed |= {
                    record.request_id for record in together if self._fold_once([record], now_ms, patience) is None
                }
        return failed

    def _fold_once(self, records: Sequence[LedgerRecord], now_ms: int, patience: _Patience) -> bool | None:
        """Whether all were folded now; None if it was not tried or the result is unknown."""
        if patience.over:
            return None
        try:
            done = self.rollups.fold(records, now_ms)
        except Exception as exc:
            patience.note(exc)
            log.warning(
                "not folded", exc_info=exc, extra={"records": len(records), "request_id": records[0].request_id}
            )
            return None
        patience.note(None)
        return done

    def _note_uses(self, records: Iterable[LedgerRecord]) -> None:
        """Best effort, because it is only for display, and the token's next request sets it again."""
        last: dict[tuple[str, str], int] = {}
        for record in records:
            if record.token_id == PLAYGROUND:  # it has no row in the token list
                continue
            key = record.account_id, record.token_id
            last[key] = max(last.get(key, 0), request_time_ms(record.request_id))
        try:
            for (account_id, token_id), used_ms in last.items():
                self.tokens.used(account_id, token_id, used_ms)
        except StoreUnavailable:
            log.warning("last use of API tokens not noted")

    def _mail(self, folded: list[tuple[Delivery, LedgerRecord]], now_ms: int) -> set[str]:
        """Check each account once. A failure repeats the account's last delivery, because folding it twice is safe."""
        failed = set()
        for account_id, delivery in {record.account_id: delivery for delivery, record in folded}.items():
            try:
                self.quota_mails.check(account_id, now_ms)
            except StoreUnavailable:
                failed.add(delivery.delivery_id)
                log.warning("quota not checked", extra={"account_id": account_id})
        return failed
