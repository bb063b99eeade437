"""Builds, runs and checks the system. Nothing here is deployed to AWS."""
