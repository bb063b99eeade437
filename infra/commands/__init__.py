"""The subcommands of `sluice`, one per module."""
