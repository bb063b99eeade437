"""`sluice proxy caddy|nginx --domain NAME`: the configuration of a proxy in front of Sluice."""

import re
from pathlib import Path

import click

from infra.commands.ending import end

DOMAIN = re.compile(r"[A-Za-z0-9.-]+")
CADDYS_VARIABLE = "{$DOMAIN}"
UPSTREAM = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+\]):([0-9]{1,5})")


@click.command("proxy")
@click.argument("proxy", type=click.Choice(["caddy", "nginx"]))
@click.option("--domain", required=True, help="The name under which people reach Sluice.")
@click.option(
    "--upstream",
    "upstreams",
    multiple=True,
    metavar="HOST:PORT",
    help="Where Sluice listens, by default 127.0.0.1:8080. Give it once for each of several machines.",
)
@click.option("--http3", is_flag=True, help="For nginx 1.25 or newer with HTTP/3. Caddy has it by itself.")
@click.option(
    "--to", type=click.Path(dir_okay=False, path_type=Path), help="Write this file; default: standard output."
)
def command(proxy: str, domain: str, upstreams: tuple[str, ...], http3: bool, to: Path | None) -> None:
    """Print the configuration of Caddy or nginx with TLS in front of Sluice, and the settings that Sluice needs."""
    from infra.local.settings_check import problems
    from infra.proxies.configuration import CADDY, DEFAULT_UPSTREAM, render

    if wrong := problems():
        end(1, "the configuration is wrong:\n" + "\n".join(f"  {line}" for line in wrong))
    if not DOMAIN.fullmatch(domain) and (proxy, domain) != (CADDY, CADDYS_VARIABLE):
        end(2, f"{domain!r} is no name of a host, such as sluice.example.org")
    for upstream in upstreams:
        found = UPSTREAM.fullmatch(upstream)
        if not found or not 1 <= int(found[2]) <= 65535:
            end(2, f"{upstream!r} is not HOST:PORT")
    chosen = upstreams or (DEFAULT_UPSTREAM,)
    text = render(proxy, domain, chosen, http3=http3)
    if to is None:
        click.echo(text, nl=False)
    else:
        try:
            to.write_text(text)
        except OSError as exc:
            end(1, f"{to} cannot be written: {exc.strerror}")
    click.echo(_settings(domain, chosen), err=True)


def _settings(domain: str, upstreams: tuple[str, ...]) -> str:
    here = all(upstream.startswith(("127.0.0.1:", "[::1]:", "localhost:")) for upstream in upstreams)
    trusted = "127.0.0.1,::1" if here else "the address from which the proxy calls Sluice"
    lines = [f"SLUICE_BASE_URL=https://{domain}", f"SLUICE_TRUSTED_PROXIES={trusted}"]
    if not here:
        lines.append("SLUICE_HOST=the address on which the proxy finds Sluice")
    return "\n".join(["Sluice needs these settings:", *(f"  {line}" for line in lines)])
