"""What the gateway costs: requests a second on one core, added time, CPU and memory. `python -m benchmarks.gateway`."""
