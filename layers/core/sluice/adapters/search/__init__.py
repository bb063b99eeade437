"""The index of documents and the search in it. Imported by `ingestion` and `search` only: they bring apsw."""
