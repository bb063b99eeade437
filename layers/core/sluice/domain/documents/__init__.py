"""Rules of documents: uploads, passages, filters, vectors, grounded prompts."""
