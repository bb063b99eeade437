"""What `sluice doctor` looks at."""
