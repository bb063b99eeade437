"""How fast documents are read, indexed and searched, with both engines of the comparison in docs/adr/0070."""
