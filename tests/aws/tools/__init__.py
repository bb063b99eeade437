"""What only `make test-aws` needs, each in an environment of its own: both pin versions that ours contradicts."""
