"""The ledger's stream handler: see app.py."""
