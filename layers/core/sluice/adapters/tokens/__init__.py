"""API tokens: JWTs, signing keys, and their rows in DynamoDB."""
