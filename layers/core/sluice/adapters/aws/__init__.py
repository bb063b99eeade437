"""Access to AWS: clients of DynamoDB and other services, table models, signing, HTTP connections."""
