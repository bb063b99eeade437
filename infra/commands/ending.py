"""Ends a command with an error, and reads passwords. Imports nothing heavy, so that every command can use it."""

import sys
from typing import NoReturn

import click


def end(status: int, message: str) -> NoReturn:
    """Print the message to standard error and exit with `status`."""
    click.echo(f"sluice: {message}", err=True)
    sys.exit(status)


def read_password(from_stdin: bool, prompt: str, *, confirm: bool = False) -> str:
    """From standard input or a prompt. Never an argument, because all users of the machine can see arguments."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\n")
    return ask(prompt, "--password-stdin", confirm=confirm)


def ask(what: str, otherwise: str, *, confirm: bool = False) -> str:
    """`otherwise`: the option that gives it where nobody can be asked, as in cron."""
    try:
        return str(click.prompt(what, hide_input=True, confirmation_prompt=confirm, err=True))
    except click.Abort:
        if sys.stdin.isatty():
            raise
    end(1, f"{what}: nobody can be asked for it here, so give {otherwise}")
