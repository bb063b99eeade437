"""Backups of one machine's data directory: one file each, read back before it counts (docs/adr/0104-backups.md).

`saving` copies a running system, `archive` is the file's form and `age` its encryption; `places` are a folder or a
bucket; `restoring` makes a data directory of it.
"""
