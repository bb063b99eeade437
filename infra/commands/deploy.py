"""`sluice deploy`."""

import sys

import click

from infra.commands.ending import end, read_password


@click.command("deploy", help="Deploy to AWS: keys, build, stack, first admin, smoke test. Every step may be repeated.")
@click.option("--stack", default="sluice", show_default=True)
@click.option(
    "--parameter", "given", multiple=True, metavar="NAME=VALUE", help="A parameter of template.yaml; may be repeated."
)
@click.option("--model", default="", metavar="MODEL", help="bedrock:ID (or NAME=ID, several with commas), or image.")
@click.option("--admin", default="", metavar="EMAIL", help="Make this person an admin; the password is asked for.")
@click.option("--password-stdin", is_flag=True, help="Read that password from standard input.")
@click.option("--no-smoke", is_flag=True, help="Skip the smoke test at the end.")
@click.option("--check", is_flag=True, help="Only look: print what the account has and what a deployment would do.")
def command(
    stack: str, given: tuple[str, ...], model: str, admin: str, password_stdin: bool, no_smoke: bool, check: bool
) -> None:
    """Exit status: 1 a step failed (the message names it); 2 AWS does not answer or denies access."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    from infra.aws.deploying import Deployment, Machine, StepFailed
    from infra.aws.looking import table

    ask = bool(admin) and not check
    password = read_password(password_stdin, "Password of the admin (a new account gets it)") if ask else ""
    machine = Machine(boto3.client)
    try:
        deployment = Deployment(
            machine,
            lambda text: click.echo(f"sluice: {text}"),
            stack,
            _pairs(given),
            admin,
            password,
            not no_smoke,
            model,
        )
        if check:
            findings = deployment.look()
            click.echo("\n".join(table(findings)))
            sys.exit(any(one.stops for one in findings))
        url = deployment.run()
    except (StepFailed, ValueError) as exc:
        end(1, str(exc))
    except (BotoCoreError, ClientError) as exc:
        end(2, f"AWS: {exc}")
    click.echo(f"\nSluice answers at {url}; the base_url of an OpenAI SDK is {url}/v1")


def _pairs(given: tuple[str, ...]) -> dict[str, str]:
    for one in given:
        if "=" not in one:
            raise click.BadParameter(f"{one} has no value: NAME=VALUE", param_hint="--parameter")
    return dict(one.split("=", 1) for one in given)
