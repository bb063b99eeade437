"""Rules of mails: kinds, states and mailed codes."""
