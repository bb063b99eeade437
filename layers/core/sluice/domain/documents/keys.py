"""Keys of blobs: `KIND/ACCOUNT/…`, so that all blobs of an account and kind have one prefix.

Puts of two kinds are events for `ingestion`: an upload, and a change of a file in a vector store. The second does not
say what to do, because `ingestion` reads the tables; so events may arrive twice, late or in the wrong order.
"""

FILES = "files"  # as uploaded
TEXTS = "texts"  # extracted text
CHANGES = "changes"  # a file attached or detached, or a store deleted; empty, because only the put matters
INDEX = "index"  # one database for each vector store
VECTORS = "vectors"  # embeddings by the hash of their text
BATCHES = "batches"  # files attached in one call
RUNS = "runs"  # events of requests that outlive their connection
ROWS = "rows"  # slices of batches of requests, and the results of their rows
PARTS = "parts"  # of uploads that are not completed
KINDS = (CHANGES, FILES, TEXTS, INDEX, VECTORS, BATCHES, RUNS, ROWS, PARTS)
EVENT_KINDS = (FILES, CHANGES)
WHOLE_STORE = "_"


def file_key(account_id: str, file_id: str) -> str:
    return f"{FILES}/{account_id}/{file_id}"


def text_key(account_id: str, file_id: str) -> str:
    return f"{TEXTS}/{account_id}/{file_id}"


def change_key(account_id: str, store_id: str, file_id: str = WHOLE_STORE) -> str:
    """Put this key after writing or deleting the row of the attachment or of the store."""
    return f"{CHANGES}/{account_id}/{store_id}/{file_id}"


def index_key(account_id: str, store_id: str) -> str:
    return f"{INDEX}/{account_id}/{store_id}.db"


def store_of_index(key: str) -> tuple[str, str] | None:
    """The inverse of `index_key`: account id, store id. None for SQLite's auxiliary files."""
    _, account_id, name = key.split("/")
    return (account_id, name.removesuffix(".db")) if name.endswith(".db") else None


def vectors_prefix(account_id: str, file_id: str) -> str:
    return f"{VECTORS}/{account_id}/{file_id}/"


def vectors_key(account_id: str, file_id: str, content_hash: str) -> str:
    return f"{vectors_prefix(account_id, file_id)}{content_hash}"


NOBODY = "_"
EMBEDDING_STATE = f"{VECTORS}/{NOBODY}/model"
"""The model whose vectors all indexes have, and how far they were made anew for the next one."""


def account_prefix(kind: str, account_id: str) -> str:
    return f"{kind}/{account_id}/"


def batch_key(account_id: str, store_id: str, batch_id: str = "") -> str:
    """Of all batches of the store, where no id is given."""
    return f"{BATCHES}/{account_id}/{store_id}/{batch_id}"


def part_key(account_id: str, upload_id: str, part_id: str = "") -> str:
    """The folder of the upload, where no id is given."""
    return f"{PARTS}/{account_id}/{upload_id}/{part_id}"


def rows_key(account_id: str, batch_id: str, part: str, *lines: int) -> str:
    """Of a batch of requests. `part`: `in` (a slice, by its first line), `row` (a result, by its slice's first line and
    its own), `out` or `err` (the results of a slice). Without lines: the folder."""
    return "/".join((ROWS, account_id, batch_id, part, *(f"{line:07d}" for line in lines)))
