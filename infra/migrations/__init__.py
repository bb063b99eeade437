"""Migrates the store of an earlier version to this version (docs/adr/0056-migrations.md).

`structure` compares the tables with their declaration and adds what is missing; `steps` is the ordered list of changes
to items; `record` is the store's own record of its version; `run` does everything and can be repeated.
"""
