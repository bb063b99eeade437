"""Webhooks: their table, and the sender that reaches public addresses only."""
