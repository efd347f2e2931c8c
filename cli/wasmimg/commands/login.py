"""`wasmimg login`: keep credentials for a registry, once it has accepted them."""

from __future__ import annotations

import os
import sys

import click


@click.command()
@click.argument("host", metavar="[HOST]", default="docker.io")
@click.option("-u", "--username", help="User name; asked for if it is not given.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option("--plain-http/--tls", default=None, help="Call the registry without TLS, or with it.")
def command(host: str, username: str | None, password_stdin: bool, plain_http: bool | None) -> None:
    """Log in to the registry HOST (default: docker.io).

    The credentials go where docker keeps its own: a credential helper if one is configured, else
    config.json in DOCKER_CONFIG or ~/.docker, or the file that REGISTRY_AUTH_FILE names.
    """
    from wasmimg_images.registry.client import Client
    from wasmimg_images.registry.credentials import Credential, Credentials

    if password_stdin:
        if not username:
            raise click.UsageError("--password-stdin needs --username")
        try:
            password = sys.stdin.buffer.read().decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise click.UsageError("the password is not UTF-8 text") from None
    else:
        username = username or click.prompt("Username", type=str, err=True)
        password = click.prompt("Password", type=str, hide_input=True, err=True)
    if ":" in (username or ""):
        raise click.UsageError("a user name has no colon: it would end there")  # RFC 7617 2
    if not password:
        raise click.UsageError("the password is empty")
    credential = Credential(username or "", password)

    class Given:
        """The credential under test, for every registry."""

        def get(self, _host: str, _repository: str) -> Credential:
            """Give it."""
            return credential

    with Client.from_environ(os.environ, plain_http=plain_http, credentials=Given()) as client:
        client.check(host)
    where = Credentials.from_environ(os.environ).save(host, credential)
    click.echo(f"Logged in to {host}; credentials are in {where}.", err=True)
