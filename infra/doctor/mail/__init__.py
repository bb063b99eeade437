"""The checks of `sluice doctor mail`."""
