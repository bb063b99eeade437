"""Document data: file rows and vector stores in DynamoDB, contents in S3 or a folder."""
