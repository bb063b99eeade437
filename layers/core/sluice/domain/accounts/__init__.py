"""Rules of accounts: addresses, passwords, sessions, throttles, audit events."""
