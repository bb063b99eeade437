"""What the settings choose, built once a process and imported only by the function that uses it."""
