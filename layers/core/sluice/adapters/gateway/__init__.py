"""What the gateway calls: the grants and the ledger in DynamoDB, and the model server over HTTP."""
