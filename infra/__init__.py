"""What builds, runs and checks the system; nothing here is deployed to AWS."""
