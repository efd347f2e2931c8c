"""Lengths of time on the command line."""

from __future__ import annotations

import math

import click

from wasmimg_compose.quantities import MOST_SECONDS


def seconds(text: str) -> float:
    """Read a number of seconds: not negative, and no longer than a Compose file's; BadParameter."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 <= found <= MOST_SECONDS:
        raise click.BadParameter(f"{text!r} is no number of seconds")
    return found
