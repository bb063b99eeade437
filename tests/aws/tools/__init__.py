"""Tools for `make test-aws` only, each in its own environment, because their pins conflict with ours."""
