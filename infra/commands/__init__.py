"""The subcommands of `sluice`, one a module."""
