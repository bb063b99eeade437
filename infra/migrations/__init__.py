"""How a store of an earlier version becomes one of this version (docs/adr/0056-migrations.md).

`structure` compares the tables with their declaration and adds what is missing; `steps` is the ordered list of changes
to items; `record` is what the store knows of its own version; `run` does it all, as often as one likes.
"""
