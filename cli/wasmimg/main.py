"""The `wasmimg` command: a group that imports a command only when it is called.

Errors end here: one line on stderr, an exit code from docs/exit-codes.md, the trace with -v. What
comes from outside may hold line breaks and control characters; they are shown escaped.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import os
import sys
from typing import Final, cast

import click

from wasmimg_images.errors import WasmimgError

#: Command name -> module below wasmimg.commands, each with a click command called `command`.
COMMANDS: Final = {
    "build": "build",
    "compose": "compose",
    "images": "images",
    "import": "import_",
    "inspect": "inspect",
    "install": "install",
    "kill": "kill",
    "load": "load",
    "login": "login",
    "logout": "logout",
    "logs": "logs",
    "ps": "ps",
    "pull": "pull",
    "push": "push",
    "registry-serve": "registry_serve",
    "restart": "restart",
    "rm": "rm",
    "rmi": "rmi",
    "run": "run",
    "save": "save",
    "start": "start",
    "stop": "stop",
    "tag": "tag",
    "uninstall": "uninstall",
    "wait": "wait",
}
INTERRUPTED: Final = 130
#: sysexits.h, EX_SOFTWARE: a defect of ours, never the user's.
INTERNAL: Final = 70


class LazyGroup(click.Group):
    """A group whose commands are imported when they are asked for, so that none pays for another."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name every command, without importing any."""
        del ctx
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of one command; UsageError names the one that may be meant."""
        module = COMMANDS.get(cmd_name)
        if module is None:
            import difflib

            for close in difflib.get_close_matches(cmd_name, COMMANDS, 1):
                ctx.fail(f"No such command {cmd_name!r}; did you mean {close!r}?")
            return None
        command = importlib.import_module(f"wasmimg.commands.{module}").command
        assert isinstance(command, click.Command)
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-v", "--verbose", is_flag=True, help="Show the trace of an error.")
@click.version_option(package_name="wasmimg", message="%(package)s %(version)s")
@click.pass_context
def cli(ctx: click.Context, verbose: bool) -> None:
    """Build Rust services as WebAssembly images and run them like any other container."""
    ctx.obj = verbose


def report(error: BaseException) -> int:
    """Print an error as one line and a hint, and give its exit code."""
    if isinstance(error, WasmimgError):
        print(f"wasmimg: {one_line(error.message)}", file=sys.stderr)
        if error.hint:
            print(f"  hint: {one_line(error.hint)}", file=sys.stderr)
        return error.exit_code
    if isinstance(error, OSError):
        where = f": {error.filename}" if error.filename else ""
        print(f"wasmimg: {one_line(f'{error.strerror or error}{where}')}", file=sys.stderr)
        if isinstance(error, PermissionError) and os.geteuid() != 0:
            hint = "sudo, or let WASMIMG_HOME, WASMIMG_RUN and WASMIMG_CACHE name folders of yours"
            print(f"  hint: {hint}", file=sys.stderr)
        return 4 if isinstance(error, FileNotFoundError) else 7
    if type(error).__name__ == "NoArgsIsHelpError":  # click 8.2: the whole help is its message
        cast("click.ClickException", error).show()
        return 2
    if isinstance(error, click.ClickException):
        print(f"{_mistaken(error)}", file=sys.stderr)
        return error.exit_code
    what = one_line(f"{type(error).__name__}: {error}")
    print(f"wasmimg: internal error: {what}; -v shows the trace", file=sys.stderr)
    return INTERNAL


def one_line(text: str) -> str:
    """Write what is no printable character as Python would escape it."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _mistaken(error: click.ClickException) -> str:
    """Say in one line what is wrong with a command line, and which help tells more."""
    words = ["wasmimg", *(word for word in sys.argv[1:2] if word in COMMANDS)]
    if isinstance(error, click.UsageError) and error.ctx is not None:
        words = error.ctx.command_path.split()
    message = one_line(" ".join(error.format_message().split())).rstrip(".")
    return f"{' '.join(words)}: {message[:1].lower()}{message[1:]}; see {' '.join(words)} --help"


def main() -> None:
    """Run the command line and exit."""
    # At its end the interpreter would look through all objects once more: 20 ms for nothing.
    atexit.register(gc.freeze)
    verbose = "-v" in sys.argv[1:2] or "--verbose" in sys.argv[1:2] or "WASMIMG_TRACE" in os.environ
    try:
        status = cli.main(prog_name="wasmimg", standalone_mode=False)
        sys.exit(status if isinstance(status, int) else 0)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        sys.exit(report(error))
    except (click.Abort, KeyboardInterrupt):
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the interpreter flushes stdout once more
        sys.exit(0)
    except Exception as error:
        if verbose:
            raise
        sys.exit(report(error))
