"""The narrated walk through the whole path, over HTTP only, as any client would go it."""
