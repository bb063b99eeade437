"""HTTP forms of registration, login and the account."""
