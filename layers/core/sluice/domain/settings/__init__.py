"""What an owner decides about a site, its models, prices and plans: the file `sluice.toml`."""
