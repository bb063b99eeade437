"""Usage data in DynamoDB (ledger, roll-ups), and metrics for CloudWatch or Prometheus."""
