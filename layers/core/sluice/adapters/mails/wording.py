"""The texts of each kind of mail, used for both parts. Each line is a Jinja2 template.

No text shows what the owner of the address did not choose, such as the name typed at registration, because otherwise
an attacker could send their text to a stranger through us.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sluice.domain.mails.mail import Kind


@dataclass(frozen=True)
class Wording:
    """`path`: the page that the link with the code opens; `after`: the lines below the link."""

    subject: str
    before: tuple[str, ...]
    button: str = ""
    path: str = ""
    after: tuple[str, ...] = ()


NOT_YOU = "If you did not ask for this, you need not do anything."
NOT_YOU_CHANGED = "If this was not you, set a new password at once at {{ base_url }} and revoke your API tokens."

WORDING: Mapping[Kind, Wording] = {
    Kind.VERIFY_EMAIL: Wording(
        "Verify your email address",
        (
            "Welcome to {{ site }}.",
            "Follow this link to verify your email address. It is valid for 24 hours, and once.",
            "The password of your account is then the one that was typed for this mail{% if when %} at {{ when }}"
            "{% endif %}. If you did not type it, do not follow the link.",
        ),
        "Verify my address",
        "/verify-email",
        (NOT_YOU + " Without the link nobody can log in with this address.",),
    ),
    Kind.ALREADY_REGISTERED: Wording(
        "You already have an account",
        (
            "Someone, probably you, tried to register with this email address. There is an account for it already.",
            "Log in at {{ base_url }}, or ask there for a new password if you forgot yours.",
            NOT_YOU,
        ),
    ),
    Kind.RESET_PASSWORD: Wording(
        "Set a new password",
        ("Follow this link to set a new password. It is valid for 30 minutes, and once.",),
        "Set a new password",
        "/reset-password",
        (NOT_YOU + " Your password stays as it is.",),
    ),
    Kind.CHANGE_EMAIL: Wording(
        "Confirm your new email address",
        ("Follow this link to make this the address of your account. It is valid for 24 hours, and once.",),
        "Confirm this address",
        "/change-email",
        (NOT_YOU,),
    ),
    Kind.EMAIL_CHANGED: Wording(
        "Your email address was changed",
        (
            "The email address of your account is now {{ new_email }}. No more mail will come to this one.",
            "If this was not you, someone else has your password: write to the operator of {{ base_url }}.",
        ),
    ),
    Kind.QUOTA_80: Wording(
        "80 % of your monthly tokens are used",
        (
            "Your account has used 80 % of its {{ monthly_tokens | default('monthly') }} tokens for {{ period }}.",
            "When all are used, requests are refused until the month ends. See {{ base_url }} for what used them.",
        ),
    ),
    Kind.QUOTA_100: Wording(
        "Your monthly tokens are used up",
        (
            "Your account has used all of its {{ monthly_tokens | default('monthly') }} tokens for {{ period }}.",
            "Requests are refused until the month ends. See {{ base_url }} for what used them.",
        ),
    ),
    Kind.NEW_SIGN_IN: Wording(
        "A new sign-in to your account",
        ("Someone logged in to your account{% if when %} at {{ when }}{% endif %}"
         "{% if client %} from {{ client }}{% endif %}{% if agent %} ({{ agent }}){% endif %}.", NOT_YOU_CHANGED),
    ),
    Kind.PASSWORD_CHANGED: Wording(
        "Your password was changed",
        ("The password of your account was changed{% if when %} at {{ when }}{% endif %}. "
         "Every session was ended.", NOT_YOU_CHANGED),
    ),
}  # fmt: skip
