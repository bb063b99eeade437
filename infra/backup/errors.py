class BackupRefused(Exception):
    """A backup or a restore was not done; the message says why, and what to do."""
