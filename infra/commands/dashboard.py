"""`sluice dashboard`."""

from pathlib import Path

import click

from infra import watching


@click.command("dashboard")
@click.option("--alerts", is_flag=True, help="Print the alert rules for Prometheus instead.")
def command(alerts: bool) -> None:
    """Print the dashboard for Grafana (Dashboards, New, Import). Its job is called `sluice`."""
    name = "alerts.yaml" if alerts else "grafana.json"
    click.echo((Path(watching.__path__[0]) / name).read_text("utf-8"), nl=False)
