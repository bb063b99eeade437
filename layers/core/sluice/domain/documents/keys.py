"""Names of what documents keep beside their tables: `KIND/ACCOUNT/…`, so that an account's part is one prefix a kind.

Two kinds are events for `ingestion`: an upload, and "look at this file of this store". The second carries no order:
what is to be done is what the tables say by then, so an event may come twice, late, or after its opposite.
"""

FILES = "files"  # as uploaded
TEXTS = "texts"  # what was read out of it
CHANGES = "changes"  # attached or detached, or the whole store deleted: empty, its put is what counts
INDEX = "index"  # one database a vector store
VECTORS = "vectors"  # embeddings by the hash of their text
BATCHES = "batches"  # files attached together
KINDS = (CHANGES, FILES, TEXTS, INDEX, VECTORS, BATCHES)
EVENT_KINDS = (FILES, CHANGES)
WHOLE_STORE = "_"


def file_key(account_id: str, file_id: str) -> str:
    return f"{FILES}/{account_id}/{file_id}"


def text_key(account_id: str, file_id: str) -> str:
    return f"{TEXTS}/{account_id}/{file_id}"


def change_key(account_id: str, store_id: str, file_id: str = WHOLE_STORE) -> str:
    """Put it after the row of the attachment, or of the store, was written or deleted."""
    return f"{CHANGES}/{account_id}/{store_id}/{file_id}"


def index_key(account_id: str, store_id: str) -> str:
    return f"{INDEX}/{account_id}/{store_id}.db"


def store_of_index(key: str) -> tuple[str, str] | None:
    """`index_key` backwards: account id, store id. None for what SQLite keeps beside a database."""
    _, account_id, name = key.split("/")
    return (account_id, name.removesuffix(".db")) if name.endswith(".db") else None


def vectors_prefix(account_id: str, file_id: str) -> str:
    return f"{VECTORS}/{account_id}/{file_id}/"


def vectors_key(account_id: str, file_id: str, content_hash: str) -> str:
    return f"{vectors_prefix(account_id, file_id)}{content_hash}"


def account_prefix(kind: str, account_id: str) -> str:
    return f"{kind}/{account_id}/"
