"""What each page and each call costs for an account that holds as much as it may (docs/performance.md)."""
