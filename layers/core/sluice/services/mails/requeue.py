"""Mails that stuck: the mail server was away, or the mailer died over one. The sweeper's matter."""

from sluice.ports.mails import MailStore

GRACE_MS = 5_000  # a mail due only just now is on its way through the stream already
AT_ONCE = 200  # a shard; the longest waiting come first, the rest with the next sweep


def requeue_stuck_mails(mails: MailStore, now_ms: int) -> int:
    """Show every overdue mail to the mailer again, through the table's stream. Returns how many.

    Sending twice is out of the question: the mailer's claim lets one through. Errors: StoreUnavailable.
    """
    return sum(mails.touch(mail_id, now_ms) for mail_id in mails.overdue(now_ms - GRACE_MS, AT_ONCE))
