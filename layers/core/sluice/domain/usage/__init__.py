"""Rules of usage: ledger records, roll-ups, prices, latency."""
