"""Use cases of usage: metering, sums, request log, reconciliation."""
