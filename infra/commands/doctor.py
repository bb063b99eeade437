"""`sluice doctor`, `sluice doctor mail`: find problems. Exit status 1 if there are any."""

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from infra.doctor.finding import Finding

MARKS = {"ok": ("ok  ", "green"), "note": ("note", "yellow"), "problem": ("BAD ", "red")}


@click.group("doctor", invoke_without_command=True, help="Find problems of this machine and its configuration.")
@click.pass_context
def command(ctx: click.Context) -> None:
    if ctx.invoked_subcommand:
        return
    from infra.doctor import configuration, machine

    checks = (
        machine.python,
        machine.llama_cpp,
        machine.store_binary,
        machine.data_directory,
        machine.disk,
        configuration.settings,
        configuration.model,
        configuration.vectors,
    )
    _show(finding for check in checks for finding in check())


@command.command("mail")
@click.option("--to", default="", help="Send a test mail to this address.")
@click.option("--selector", "selectors", multiple=True, help="Of a DKIM key; as often as there are keys.")
@click.option("--address", "addresses", multiple=True, help="The IP address that mails leave from, if it is known.")
@click.option("--dns", "dns_server", default="", help="Ask this DNS server, such as 1.1.1.1.")
def mail(to: str, selectors: tuple[str, ...], addresses: tuple[str, ...], dns_server: str) -> None:
    """Look at what receivers look at: the mail server, and SPF, DKIM, DMARC and reverse DNS of the sender."""
    from infra.doctor.mail.checks import mail

    _show(mail(to, selectors, addresses, dns_server))


def _show(findings: Iterable["Finding"]) -> None:
    problems = 0
    for finding in findings:
        text, colour = MARKS[finding.kind]
        click.echo(f"{click.style(text, fg=colour)}  {finding.text}")
        if finding.advice:
            click.echo(f"      {finding.advice}")
        problems += finding.kind == "problem"
    click.echo(f"\n{problems} problem{'s' if problems != 1 else ''} found." if problems else "\nNothing is wrong.")
    sys.exit(1 if problems else 0)
