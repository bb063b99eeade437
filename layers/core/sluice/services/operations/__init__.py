"""Use cases of admins and operators: users, limits, audit log, health, the first admin."""
