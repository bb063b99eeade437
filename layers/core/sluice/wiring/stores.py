"""Stores: tables, the bucket or its folder, indexes; each built once a process."""

from __future__ import annotations  # only the type checker needs the ports, and importing them slows a cold start

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from sluice import settings
from sluice.once import once
from sluice.wiring import peers

if TYPE_CHECKING:
    from sluice.adapters.aws.json_service import JsonService
    from sluice.ports.accounts import AccountStore, AuditLog, FactorStore, SessionStore, Throttles, UsedQuotas
    from sluice.ports.chats import ChatStore
    from sluice.ports.documents import Blobs, FileStore, Indexes, PendingDocuments, UploadStore, VectorStoreStore
    from sluice.ports.gateway import ContentStore, GrantStore, HotStore, LeaseIndex, Spend, Visits
    from sluice.ports.mails import MailStore
    from sluice.ports.payments import PayerStore
    from sluice.ports.settings import SettingsStore
    from sluice.ports.tokens import PublishedTokens, TokenStore, TokenUses
    from sluice.ports.usage import Accountant, LedgerReader, RefusalStore, RollupStore
    from sluice.ports.webhooks import WebhookStore


@once
def account_store() -> AccountStore:
    from sluice.adapters.accounts.accounts import DynamoAccounts

    return DynamoAccounts(settings.common().table_prefix)


@once
def models_client() -> object:
    """A function that uses the models names this, so that INIT and not the first event imports botocore."""
    from sluice.adapters.aws import model_store, models  # noqa: F401  # the first event's

    return model_store.client()


@once
def audit_log() -> AuditLog:
    from sluice.adapters.accounts.audit import DynamoAudit

    return DynamoAudit(settings.common().table_prefix)


@once
def settings_store() -> SettingsStore:
    from sluice.adapters.settings import DynamoSettings

    return DynamoSettings(settings.common().table_prefix)


@once
def ledger_reader() -> LedgerReader:
    from sluice.adapters.usage.ledger import DynamoLedger

    return DynamoLedger(settings.common().table_prefix)


@once
def rollup_store() -> RollupStore:
    from sluice.adapters.usage.rollups import DynamoRollups

    return DynamoRollups(settings.common().table_prefix)


@once
def refusal_store() -> RefusalStore:
    from sluice.adapters.usage.refusals import DynamoRefusals

    return DynamoRefusals(settings.common().table_prefix)


@once
def content_store() -> ContentStore:
    from sluice.adapters.gateway.contents import DynamoContents

    return DynamoContents(settings.common().table_prefix)


@once
def _hot_client() -> JsonService:
    from sluice.adapters.aws.json_service import DYNAMODB, HOT, JsonService

    if (tracing := peers.tracing()) is None:
        return JsonService(DYNAMODB, HOT)
    from sluice.adapters.aws.traced_service import TracedDynamo

    return TracedDynamo(tracing)


@once
def hot_store() -> HotStore:
    """The grant and the ledger, which every `/v1` request reads and writes."""
    from sluice.adapters.aws.unix_sockets import store_socket
    from sluice.adapters.gateway.hot_store import DynamoHotStore

    return DynamoHotStore(_hot_client(), settings.common().table_prefix, settles_at_once=bool(store_socket()))


@once
def spend() -> Spend:
    """Over the connections of `hot_store`: one that was used just now is not closed yet, and a write that is sent only
    once arrives."""
    from sluice.adapters.gateway.spend import DynamoSpend

    return DynamoSpend(_hot_client(), settings.common().table_prefix)


@once
def visits() -> Visits:
    """Over the connections of `hot_store`."""
    from sluice.adapters.gateway.visits import DynamoVisits

    return DynamoVisits(_hot_client(), settings.common().table_prefix)


@once
def payer_store() -> PayerStore:
    from sluice.adapters.payments.payers import DynamoPayers

    return DynamoPayers(settings.common().table_prefix)


@once
def throttles() -> Throttles:
    from sluice.adapters.accounts.throttles import DynamoThrottles, NoThrottles

    return DynamoThrottles(settings.common().table_prefix) if settings.accounts().auth_throttle else NoThrottles()


@once
def used_quotas() -> UsedQuotas:
    from sluice.adapters.accounts.used_quotas import DynamoUsedQuotas

    return DynamoUsedQuotas(settings.common().table_prefix, peers.mailed_code_key)


@once
def session_store() -> SessionStore:
    from sluice.adapters.accounts.sessions import DynamoSessions

    return DynamoSessions(settings.common().table_prefix)


@once
def factor_store() -> FactorStore:
    from sluice.adapters.accounts.factors import DynamoFactors

    return DynamoFactors(settings.common().table_prefix)


@once
def token_store() -> TokenStore:
    from sluice.adapters.tokens.tokens import DynamoTokens

    return DynamoTokens(settings.common().table_prefix)


@once
def published_tokens() -> PublishedTokens:
    from sluice.adapters.tokens.published import DynamoPublished

    return DynamoPublished(settings.common().table_prefix)


@once
def grant_store() -> GrantStore:
    from sluice.adapters.gateway.grants import DynamoGrants

    return DynamoGrants(settings.common().table_prefix)


@once
def token_uses() -> TokenUses:
    from sluice.adapters.tokens.uses import DynamoTokenUses

    return DynamoTokenUses(settings.common().table_prefix)


@once
def mail_store() -> MailStore:
    from sluice.adapters.mails.store import DynamoMails

    return DynamoMails(settings.common().table_prefix)


@once
def webhook_store() -> WebhookStore:
    from sluice.adapters.webhooks.store import DynamoWebhooks

    return DynamoWebhooks(settings.common().table_prefix)


@once
def lease_index() -> LeaseIndex:
    from sluice.adapters.gateway.lease_index import DynamoLeaseIndex

    return DynamoLeaseIndex(settings.common().table_prefix)


@once
def accountant() -> Accountant:
    from sluice.adapters.usage.accountant import DynamoAccountant

    return DynamoAccountant(_hot_client(), settings.common().table_prefix)


@once
def chat_store() -> ChatStore:
    from sluice.adapters.chats import DynamoChats

    return DynamoChats(settings.common().table_prefix)


@once
def file_store() -> FileStore:
    from sluice.adapters.documents.files import DynamoFiles

    return DynamoFiles(settings.common().table_prefix)


@once
def upload_store() -> UploadStore:
    from sluice.adapters.documents.uploads import DynamoUploads

    return DynamoUploads(settings.common().table_prefix)


@once
def vector_store_store() -> VectorStoreStore:
    from sluice.adapters.documents.vector_stores import DynamoVectorStores

    return DynamoVectorStores(settings.common().table_prefix)


@once
def blobs() -> Blobs:
    """An S3 bucket on AWS and of several machines; a folder of the data directory on one."""
    if bucket := settings.documents().documents_bucket:
        from sluice.adapters.documents.blobs_s3 import AnnouncedBlobs, S3Blobs

        common = settings.common()
        return AnnouncedBlobs(bucket, common.data_dir) if common.local else S3Blobs(bucket)
    from sluice.adapters.documents.blobs_folder import FolderBlobs

    return FolderBlobs(settings.common().data_dir)


@once
def pending_documents() -> PendingDocuments:
    from sluice.adapters.documents.pending import DynamoPending

    return DynamoPending(settings.common().table_prefix)


@once
def indexes() -> Indexes:
    """For `ingestion` and `search` only, because it needs apsw."""
    if bucket := settings.documents().documents_bucket:
        from sluice.adapters.documents.search.bucket import BucketIndexes

        copies = settings.common().data_dir if settings.common().local else Path(tempfile.gettempdir())
        return BucketIndexes(bucket, copies / "indexes", settings.documents().embedding_floor)
    from sluice.adapters.documents.blobs_folder import FolderBlobs
    from sluice.adapters.documents.search.folder import FolderIndexes

    return FolderIndexes(FolderBlobs(settings.common().data_dir).root, settings.documents().embedding_floor)
