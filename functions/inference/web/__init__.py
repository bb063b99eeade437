"""Flask views, the life of the process, and the bodies they send."""
