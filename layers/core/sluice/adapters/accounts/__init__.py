"""Account data in DynamoDB (accounts, sessions, throttles, audit log), and password hashes."""
