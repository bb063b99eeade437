"""Use cases of webhooks: manage, announce, deliver."""
