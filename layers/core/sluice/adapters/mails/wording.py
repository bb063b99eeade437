"""The texts of each kind of mail, used for both parts. Each line is a Jinja2 template.

No text shows what the owner of the address did not choose, such as the name typed at registration, because otherwise
an attacker could send their text to a stranger through us.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sluice.domain.mails.mail import Kind
from sluice.domain.phrases import later


@dataclass(frozen=True)
class Wording:
    """`path`: the page that the link with the code opens; `after`: the lines below the link."""

    subject: str
    before: tuple[str, ...]
    button: str = ""
    path: str = ""
    after: tuple[str, ...] = ()


NOT_YOU = later("If you did not ask for this, you need not do anything.")
NOT_YOU_CHANGED = later("If this was not you, set a new password at once at {{ base_url }} and revoke your API tokens.")
NOT_YOU_LINKED = later(
    "If this was not you, set a new password at once at {{ base_url }}, look through the sign-in providers of your "
    "account, and revoke your API tokens."
)
MORE = later("If more of them end in the same way within this hour, there is no further mail.")
CHOICE = later("You chose to get this mail. The page “Account” at {{ base_url }} has that choice.")

WORDING: Mapping[Kind, Wording] = {
    Kind.VERIFY_EMAIL: Wording(
        later("Verify your email address"),
        (
            later("Welcome to {{ site }}."),
            later("Follow this link to verify your email address. It is valid for 24 hours, and once."),
            later(
                "The password of your account is then the one that was typed for this mail{% if when %} at {{ "
                "when }}{% endif %}. If you did not type it, do not follow the link."
            ),
        ),
        later("Verify my address"),
        "/verify-email",
        (later(
            "If you did not ask for this, you need not do anything. Without the link nobody can log in with "
            "this address."
        ),),
    ),
    Kind.INVITATION: Wording(
        later("You are invited"),
        (
            later("You are invited to {{ site }}, a place to use AI models by chat and by API."),
            later(
                "Follow this link to choose a password. Your account is then ready. The link is valid for 7 days, and "
                "once."
            ),
        ),
        later("Accept the invitation"),
        "/invitation",
        (
            later(
                "If you do not want an account, you need not do anything: the invitation ends by itself, and your "
                "address is deleted.{% if contact %} Questions? Ask {{ contact }}.{% endif %}"
            ),
        ),
    ),
    Kind.ALREADY_REGISTERED: Wording(
        later("You already have an account"),
        (
            later(
                "Someone, probably you, tried to register with this email address. There is an account for it "
                "already."
            ),
            later("Log in at {{ base_url }}, or ask there for a new password if you forgot yours."),
            NOT_YOU,
        ),
    ),
    Kind.RESET_PASSWORD: Wording(
        later("Set a new password"),
        (later("Follow this link to set a new password. It is valid for 30 minutes, and once."),),
        later("Set a new password"),
        "/reset-password",
        (later("If you did not ask for this, you need not do anything. Your password stays as it is."),),
    ),
    Kind.CHANGE_EMAIL: Wording(
        later("Confirm your new email address"),
        (later("Follow this link to make this the address of your account. It is valid for 24 hours, and once."),),
        later("Confirm this address"),
        "/change-email",
        (NOT_YOU,),
    ),
    Kind.EMAIL_CHANGED: Wording(
        later("Your email address was changed"),
        (
            later("The email address of your account is now {{ new_email }}. No more mail will come to this one."),
            later("If this was not you, someone else has your password: write to the operator of {{ base_url }}."),
        ),
    ),
    Kind.QUOTA_80: Wording(
        later("80 % of your monthly tokens are used"),
        (
            later(
                "Your account has used 80 % of its {{ monthly_tokens | default('monthly') }} tokens for {{ period"
                " }}."
            ),
            later(
                "When all are used, requests are refused until the month ends. See {{ base_url }} for what used "
                "them."
            ),
        ),
    ),
    Kind.QUOTA_100: Wording(
        later("Your monthly tokens are used up"),
        (
            later(
                "Your account has used all of its {{ monthly_tokens | default('monthly') }} tokens for {{ period "
                "}}."
            ),
            later("Requests are refused until the month ends. See {{ base_url }} for what used them."),
        ),
    ),
    Kind.NEW_SIGN_IN: Wording(
        later("A new sign-in to your account"),
        (later(
            "Someone logged in to your account{% if when %} at {{ when }}{% endif %}{% if client %} from {{ "
            "client }}{% endif %}{% if agent %} ({{ agent }}){% endif %}."
        ), NOT_YOU_CHANGED),
    ),
    Kind.PASSWORD_CHANGED: Wording(
        later("Your password was changed"),
        (later(
            "The password of your account was changed{% if when %} at {{ when }}{% endif %}. Every session "
            "was ended."
        ), NOT_YOU_CHANGED),
    ),
    Kind.FACTOR_ADDED: Wording(
        later("Two-step login: a new way was added"),
        (later(
            "{% if kind == 'passkey' %}A passkey was added to the two-step login of your account at {{ when }}."
            "{% else %}An authenticator app was added to the two-step login of your account at {{ when }}.{% endif %}"
        ), NOT_YOU_CHANGED),
    ),
    Kind.FACTOR_REMOVED: Wording(
        later("Two-step login: a way was removed"),
        (later(
            "{% if by_admin %}An administrator switched off the two-step login of your account at {{ when }}: now the "
            "password is enough.{% elif kind == 'passkey' %}A passkey was removed from the two-step login of your "
            "account at {{ when }}.{% else %}An authenticator app was removed from the two-step login of your account "
            "at {{ when }}.{% endif %}"
        ), NOT_YOU_CHANGED),
    ),
    Kind.FACTORS_THROTTLED: Wording(
        later("Someone has your password"),
        (
            later(
                "Someone entered the right password of your account, and then wrong codes of the two-step login, "
                "until {{ when }}. They did not get in."
            ),
            later("If this was not you, set a new password at {{ base_url }}: then they cannot try again."),
        ),
    ),
    Kind.RECOVERY_CODE_USED: Wording(
        later("A recovery code was used"),
        (later(
            "A recovery code of your account was used at {{ when }}. {{ left }} of them are left; you can make new "
            "ones on the page “Two-step login”."
        ), NOT_YOU_CHANGED),
    ),
    Kind.RECOVERY_CODES_RENEWED: Wording(
        later("New recovery codes"),
        (later(
            "New recovery codes were made for your account at {{ when }}. The earlier ones no longer work."
        ), NOT_YOU_CHANGED),
    ),
    Kind.IDENTITY_LINKED: Wording(
        later("A sign-in provider was linked"),
        (later(
            "{{ provider }} was linked to your account at {{ when }}. From now on who signs in there as you gets in "
            "here, too."
        ), NOT_YOU_LINKED),
    ),
    Kind.IDENTITY_REMOVED: Wording(
        later("A sign-in provider was unlinked"),
        (later("{{ provider }} was unlinked from your account at {{ when }}. It no longer logs you in."),
         NOT_YOU_LINKED),
    ),
    Kind.TEST: Wording(
        later("A test mail"),
        (
            later("If you can read this, mails from {{ base_url }} reach this mailbox."),
            later("It was sent by its operator, with the command “sluice doctor mail”."),
        ),
    ),
    Kind.TOKEN_EXPIRING: Wording(
        later("An API token is about to expire"),
        (
            later("Your API token “{{ name }}” expires at {{ when }}. Requests with it are refused from then on."),
            later(
                "Rotate it at {{ base_url }} before that: you get a new one with the same rights. If you no longer use "
                "it, you need not do anything."
            ),
        ),
    ),
    Kind.WEBHOOK_DISABLED: Wording(
        later("A webhook was disabled"),
        (
            later(
                "{% if why == 'gone' %}Your webhook {{ url }} was disabled at {{ when }}, because its server answered "
                "that it is gone (410).{% else %}Your webhook {{ url }} was disabled at {{ when }}, because its server "
                "took nothing for 24 hours.{% endif %}"
            ),
            later("You can enable it again on the page “Webhooks” of your account at {{ base_url }}."),
        ),
    ),
    Kind.RESPONSE_ENDED: Wording(
        later("A background response has ended"),
        (later("Your background response {{ id }} has ended. Its status is “{{ status }}”."), MORE, CHOICE),
    ),
    Kind.BATCH_ENDED: Wording(
        later("A batch has ended"),
        (
            later("Your batch {{ id }} has ended. Its status is “{{ status }}”."),
            later("Its files are on the page “Batches” at {{ base_url }}."),
            MORE,
            CHOICE,
        ),
    ),
}  # fmt: skip
