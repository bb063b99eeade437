"""How the running system is: read from its own `/metrics`, for `sluice status`, `sluice top` and Prometheus."""
