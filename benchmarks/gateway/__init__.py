"""The cost of the gateway: requests per second on one core, latency, CPU, memory. `python -m benchmarks.gateway`."""
