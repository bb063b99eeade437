"""`sluice deploy`."""

import sys

import click


@click.command("deploy", help="Deploy to AWS, from the keys to a first answer. Each step may be repeated.")
@click.option("--stack", default="sluice", show_default=True)
@click.option("--parameter", "given", multiple=True, metavar="NAME=VALUE", help="Of template.yaml; may be repeated.")
@click.option("--admin", default="", metavar="EMAIL", help="Make this person an admin; the password is asked for.")
@click.option("--password-stdin", is_flag=True, help="Read that password from standard input.")
@click.option("--no-smoke", is_flag=True, help="Do not look at it from the outside afterwards.")
def command(stack: str, given: tuple[str, ...], admin: str, password_stdin: bool, no_smoke: bool) -> None:
    """Exit status: 1 a step failed, and was named; 2 AWS does not answer, or does not let us in."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    from infra.aws.deploying import Deployment, Machine, StepFailed

    deployment = Deployment(
        Machine(boto3.client),
        lambda text: click.echo(f"sluice: {text}"),
        stack,
        _pairs(given),
        admin,
        _password(password_stdin) if admin else "",
        not no_smoke,
    )
    try:
        url = deployment.run()
    except (StepFailed, ValueError) as exc:
        _end(1, str(exc))
    except (BotoCoreError, ClientError) as exc:
        _end(2, f"AWS: {exc}")
    click.echo(f"\nSluice answers at {url}; the base_url of an OpenAI SDK is {url}/v1")


def _pairs(given: tuple[str, ...]) -> dict[str, str]:
    for one in given:
        if "=" not in one:
            raise click.BadParameter(f"{one} has no value: NAME=VALUE", param_hint="--parameter")
    return dict(one.split("=", 1) for one in given)


def _password(from_stdin: bool) -> str:
    """Never an argument: those are for every user of the machine to see."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\n")
    return str(click.prompt("Password of the admin (a new account gets it)", hide_input=True, err=True))


def _end(status: int, message: str) -> None:
    click.echo(f"sluice: {message}", err=True)
    sys.exit(status)
