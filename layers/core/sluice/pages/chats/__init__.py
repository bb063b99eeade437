"""The playground page, and its answers for browsers without JavaScript."""
