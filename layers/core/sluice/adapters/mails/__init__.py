"""Mails: the queue in DynamoDB, rendering, and delivery by SES, SMTP or a local outbox."""
