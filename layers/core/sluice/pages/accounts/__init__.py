"""Pages of accounts: sign-up, login, mailed links, the profile."""
