"""Adapters built from the settings, each once a process, and imported only by the function that uses it."""

from __future__ import annotations  # the ports are for the type checker: importing them is no small part of a start

import tempfile
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from sluice import settings

if TYPE_CHECKING:
    from sluice.adapters.jwt_tokens import Verifier
    from sluice.adapters.upstream import HttpUpstream
    from sluice.http.places import Places
    from sluice.ports import (
        Accountant,
        AccountStore,
        AuditLog,
        BusyAccounts,
        ChatStore,
        ContentStore,
        DeadLetters,
        DocumentStore,
        GrantStore,
        HotStore,
        LedgerReader,
        MailSender,
        MailStore,
        Metrics,
        PasswordHashes,
        RollupStore,
        SessionStore,
        Throttles,
        TokenSigner,
        TokenStore,
        TokenUses,
        Upstream,
    )
    from sluice.ports_documents import Blobs, FileStore, Indexes, PendingDocuments, Search, VectorStoreStore
    from sluice.services.delete_account import Erasure
    from sluice.services.embed import Embed
    from sluice.services.exchange import Observer
    from sluice.services.files import Files
    from sluice.services.gateway import Gateway
    from sluice.services.my_documents import MyDocuments
    from sluice.services.queue_mail import MayMail
    from sluice.services.quota_mails import QuotaMails
    from sluice.services.retrieve import Retrieval
    from sluice.services.stored_responses import StoredResponses
    from sluice.services.vector_stores import VectorStores


def base_url() -> str:
    """What links begin with, without a slash at the end. Errors: Unavailable."""
    return _base_url()()


@cache
def _base_url() -> Callable[[], str]:
    wanted = settings.common()
    if not wanted.base_url_parameter:
        fixed = wanted.base_url.rstrip("/")
        return lambda: fixed
    from sluice.adapters.base_url import ParameterUrl
    from sluice.adapters.ssm import parameter

    return ParameterUrl(wanted.base_url_parameter, parameter, time.monotonic)


@cache
def account_store() -> AccountStore:
    from sluice.adapters.accounts import DynamoAccounts

    return DynamoAccounts(settings.common().table_prefix)


@cache
def audit_log() -> AuditLog:
    from sluice.adapters.audit import DynamoAudit

    return DynamoAudit(settings.common().table_prefix)


@cache
def dead_letters() -> DeadLetters:
    from sluice.adapters.dead_letters import DeadLetterFile, DeadLetterQueues

    queues = [url.strip() for url in settings.admin().dead_letter_queues.split(",") if url.strip()]
    return DeadLetterQueues(queues) if queues else DeadLetterFile(settings.common().data_dir)


@cache
def ledger_reader() -> LedgerReader:
    from sluice.adapters.ledger import DynamoLedger

    return DynamoLedger(settings.common().table_prefix)


@cache
def rollup_store() -> RollupStore:
    from sluice.adapters.rollups import DynamoRollups

    return DynamoRollups(settings.common().table_prefix)


@cache
def content_store() -> ContentStore:
    from sluice.adapters.contents import DynamoContents

    return DynamoContents(settings.common().table_prefix)


@cache
def hot_store() -> HotStore:
    """The grant and the ledger over the small client; address and credentials are found as botocore finds them."""
    from sluice.adapters.aws_access import access, endpoint, on_lambda
    from sluice.adapters.dynamo_http import DynamoHttp
    from sluice.adapters.hot_store import HotStore as DynamoHotStore
    from sluice.adapters.http_pool import Pool

    granted = access()
    url = endpoint("dynamodb", granted.region)
    host_header = Pool(url, connect_seconds=1.0).host_header
    if on_lambda():
        from sluice.adapters.aws_json import dynamodb_signer
    else:
        from sluice.adapters.signing import dynamodb_signer
    sign = dynamodb_signer(host_header, granted.region, granted.credentials)
    return DynamoHotStore(DynamoHttp(url, sign), settings.common().table_prefix)


@cache
def upstream() -> Upstream:
    return _upstream(settings.gateway().upstream_idle_seconds)


def _upstream(idle_seconds: float) -> HttpUpstream:
    from sluice.adapters.function_url import sign_for
    from sluice.adapters.upstream import HttpUpstream

    wanted = settings.gateway()
    return HttpUpstream(
        wanted.inference_url,
        connect_seconds=wanted.upstream_connect_seconds,
        idle_seconds=idle_seconds,
        sign=sign_for(wanted.inference_url, wanted.inference_auth),
    )


@cache
def model_health() -> HttpUpstream:
    """For `/healthz`, with connections of its own and little patience."""
    return _upstream(idle_seconds=2.0)


@cache
def gateway() -> Gateway:
    from sluice.domain.admission import Limits
    from sluice.http.lambda_deadline import seconds_left
    from sluice.services.gateway import Gateway
    from sluice.services.model_list import ModelList
    from sluice.services.observe import ObservedAdmission

    wanted = settings.gateway()
    defaults = Limits(wanted.default_rpm, wanted.default_tpm, wanted.default_concurrency, wanted.default_monthly_tokens)
    return Gateway(
        store=hot_store(),
        admission=ObservedAdmission(hot_store(), defaults, metrics(), partial(quota_mails().check, refused=True)),
        upstream=upstream(),
        models=ModelList(upstream()),
        observer=observer(),
        clock=time.time_ns,
        default_max_tokens=wanted.default_max_tokens,
        deadline_seconds=wanted.request_deadline_seconds,
        content_days=wanted.content_days,
        seconds_left=seconds_left,
    )


@cache
def stored_responses() -> StoredResponses:
    from sluice.services.stored_responses import StoredResponses

    documents: DocumentStore = hot_store()  # type: ignore[assignment]
    return StoredResponses(documents, settings.gateway().content_days)


@cache
def v1_places() -> Places:
    from sluice.http.places import Places

    return Places(settings.gateway().v1_places)


@cache
def password_hashes() -> PasswordHashes:
    from sluice.adapters.passwords import Passwords

    return Passwords().warm()


@cache
def throttles() -> Throttles:
    from sluice.adapters.throttles import DynamoThrottles, NoThrottles

    return DynamoThrottles(settings.common().table_prefix) if settings.accounts().auth_throttle else NoThrottles()


@cache
def token_verifier() -> Verifier:
    """Public keys only."""
    from sluice.adapters.jwt_tokens import Verifier
    from sluice.adapters.keys import public_keys

    return Verifier(public_keys(), settings.common().issuer)


@cache
def session_store() -> SessionStore:
    from sluice.adapters.sessions import DynamoSessions

    return DynamoSessions(settings.common().table_prefix)


@cache
def token_store() -> TokenStore:
    from sluice.adapters.tokens import DynamoTokens

    return DynamoTokens(settings.common().table_prefix)


@cache
def grant_store() -> GrantStore:
    from sluice.adapters.grants import DynamoGrants

    return DynamoGrants(settings.common().table_prefix)


@cache
def token_signer() -> TokenSigner:
    """Holds the private key: for the `tokens` function only."""
    from sluice.adapters.jwt_tokens import Signer
    from sluice.adapters.keys import signing_key

    return Signer(signing_key(), settings.common().issuer)


@cache
def token_uses() -> TokenUses:
    from sluice.adapters.token_uses import DynamoTokenUses

    return DynamoTokenUses(settings.common().table_prefix)


@cache
def metrics() -> Metrics:
    """Prometheus on one machine, CloudWatch's embedded format on AWS. Imported here: Prometheus reads its variable."""
    if settings.common().local:
        from sluice.adapters.metrics_prometheus import PrometheusMetrics

        return PrometheusMetrics()
    from sluice.adapters.metrics_emf import EmfMetrics

    return EmfMetrics(settings.common().service, settings.common().metrics_namespace)


@cache
def observer() -> Observer:
    from sluice.services.observe import ExchangeMetrics

    return ExchangeMetrics(metrics())


@cache
def mail_store() -> MailStore:
    from sluice.adapters.mails import DynamoMails

    return DynamoMails(settings.common().table_prefix)


@cache
def mail_sender() -> MailSender:
    """As SLUICE_MAIL says: the local outbox, SES, or an SMTP server. Errors: ValueError for anything else."""
    wanted = settings.mailer().mail
    if wanted == "outbox":
        from sluice.adapters.mail_outbox import Outbox

        return Outbox(settings.common().data_dir)
    if wanted == "ses":
        from sluice.adapters.mail_ses import SesMail

        return SesMail(settings.mailer().ses_configuration_set)
    from sluice.adapters.mail_smtp import SmtpMail, parse_smtp_url

    if wanted == "smtp":  # on AWS: a password is no matter of a function's environment
        from sluice.adapters.ssm import parameter

        wanted = parameter(settings.mailer().smtp_url_parameter)
    return SmtpMail(parse_smtp_url(wanted))


@cache
def busy_accounts() -> BusyAccounts:
    from sluice.adapters.busy import DynamoBusyAccounts

    return DynamoBusyAccounts(settings.common().table_prefix)


@cache
def quota_mails() -> QuotaMails:
    from sluice.services.quota_mails import QuotaMails

    return QuotaMails(hot_store(), account_store(), mail_store())


@cache
def accountant() -> Accountant:
    from sluice.adapters.accountant import DynamoAccountant

    return DynamoAccountant(settings.common().table_prefix)


@cache
def chat_store() -> ChatStore:
    from sluice.adapters.chats import DynamoChats

    return DynamoChats(settings.common().table_prefix)


@cache
def erasure() -> Erasure:
    from sluice.services.delete_account import Erasure
    from sluice.services.erase_documents import EraseDocuments

    return Erasure(
        account_store(),
        session_store(),
        token_store(),
        grant_store(),
        content_store(),
        mail_store(),
        audit_log(),
        hot_store(),
        EraseDocuments(file_store(), blobs()),
    )


@cache
def file_store() -> FileStore:
    from sluice.adapters.document_files import DynamoFiles

    return DynamoFiles(settings.common().table_prefix)


@cache
def vector_store_store() -> VectorStoreStore:
    from sluice.adapters.document_stores import DynamoVectorStores

    return DynamoVectorStores(settings.common().table_prefix)


@cache
def blobs() -> Blobs:
    """The bucket of a deployment; a folder of the data directory on one machine."""
    if bucket := settings.documents().documents_bucket:
        from sluice.adapters.blobs_s3 import S3Blobs

        return S3Blobs(bucket)
    from sluice.adapters.blobs_folder import FolderBlobs

    return FolderBlobs(settings.common().data_dir)


@cache
def files() -> Files:
    from sluice.domain.uploads import MIB
    from sluice.services.files import Files

    return Files(file_store(), vector_store_store(), blobs(), settings.documents().default_storage_mb * MIB)


@cache
def vector_stores() -> VectorStores:
    from sluice.services.vector_stores import VectorStores

    return VectorStores(vector_store_store(), blobs())


@cache
def my_documents() -> MyDocuments:
    from sluice.services.my_documents import MyDocuments

    return MyDocuments(files(), vector_stores())


@cache
def retrieval() -> Retrieval:
    from sluice.services.retrieve import Retrieval

    return Retrieval(vector_store_store(), search())


@cache
def pending_documents() -> PendingDocuments:
    from sluice.adapters.document_pending import DynamoPending

    return DynamoPending(settings.common().table_prefix)


@cache
def indexes() -> Indexes:
    """For `ingestion` and `search` only: it wants apsw."""
    if bucket := settings.documents().documents_bucket:
        from sluice.adapters.search.bucket import BucketIndexes

        return BucketIndexes(bucket, Path(tempfile.gettempdir()) / "indexes", settings.documents().embedding_floor)
    from sluice.adapters.blobs_folder import FolderBlobs
    from sluice.adapters.search.folder import FolderIndexes

    return FolderIndexes(FolderBlobs(settings.common().data_dir).root, settings.documents().embedding_floor)


@cache
def search() -> Search:
    """`functions/search` of a deployment; on one machine, and in that function, the same service in this process."""
    if url := settings.documents().search_url:
        from sluice.adapters.function_url import sign_for
        from sluice.adapters.http_search import HttpSearch
        from sluice.adapters.upstream import HttpUpstream

        return HttpSearch(HttpUpstream(url, connect_seconds=2.0, idle_seconds=20.0, sign=sign_for(url, "auto")))
    from sluice.services.search_documents import SearchDocuments

    return SearchDocuments(vector_store_store(), indexes(), embed())


@cache
def embed() -> Embed | None:
    """None where no embedding model is configured: documents are searched by words alone."""
    from sluice.services.embed import Embed

    model = settings.documents().embedding_model
    return Embed(upstream(), model, blobs(), hot_store(), accountant(), _now_ms) if model else None


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def may_mail(client: str) -> MayMail:
    """Whether this client, by its network address, may have a mail sent."""
    from sluice.services.mail_throttle import may_mail as throttled

    return throttled(throttles(), client)
