"""Use cases, one a file: the domain and the ports, nothing else."""
