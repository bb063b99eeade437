"""How fast documents are read, indexed and searched; and the two engines that were compared (docs/adr/0070)."""
