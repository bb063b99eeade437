"""Use cases of documents: upload, ingest, embed, search, vector stores."""
