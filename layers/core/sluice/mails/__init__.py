"""What mails say: the wording of each kind, and its text and HTML parts."""
