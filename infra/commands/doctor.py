"""`sluice doctor`: finds problems of this machine and its configuration. Exit status 1 if there are any."""

import sys

import click

MARKS = {"ok": ("ok  ", "green"), "note": ("note", "yellow"), "problem": ("BAD ", "red")}


@click.command("doctor", help="Find problems of this machine and its configuration.")
def command() -> None:
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
    findings = [finding for check in checks for finding in check()]
    for finding in findings:
        text, colour = MARKS[finding.kind]
        click.echo(f"{click.style(text, fg=colour)}  {finding.text}")
        if finding.advice:
            click.echo(f"      {finding.advice}")
    problems = sum(finding.kind == "problem" for finding in findings)
    click.echo(f"\n{problems} problem{'s' if problems != 1 else ''} found." if problems else "\nNothing is wrong.")
    sys.exit(1 if problems else 0)
