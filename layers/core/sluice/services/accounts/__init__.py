"""Use cases of accounts: register, verify, log in, passwords, export, deletion."""
