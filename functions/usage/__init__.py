"""Usage pages of the account API: see app.py."""
