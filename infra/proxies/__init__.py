"""The configurations of the proxies in front of Sluice: one template for each."""
