"""Search indexes: one SQLite database for each vector store, read and written through apsw."""
