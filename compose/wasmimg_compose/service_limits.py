"""The limits of a service, its own keys' and those below `deploy`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wasmimg_compose import constraints
from wasmimg_compose.container import Limits
from wasmimg_compose.document import placed, read
from wasmimg_compose.quantities import size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wasmimg_compose.document import Node

#: What `deploy.resources.limits` has, and what a service calls it.
LIMITS: Final = {"memory": "mem_limit", "cpus": "cpus", "pids": "pids_limit"}


def limits_of(fields: Mapping[str, Node]) -> Limits:
    """Read the limits; what stands below `deploy` wins."""
    nodes = {key: fields.get(name) for key, name in LIMITS.items()}
    if "deploy" in fields:
        deploy = fields["deploy"].mapping(("replicas", "resources"))
        resources = deploy["resources"].mapping(("limits",)) if "resources" in deploy else {}
        nodes |= resources["limits"].mapping(LIMITS) if "limits" in resources else {}
    memory, cpus, pids = (nodes[key] for key in LIMITS)
    found = Limits(
        None if memory is None else read(memory, size),
        None if cpus is None else cpus.number(),
        None if pids is None else constraints.pids_limit(pids.integer()),
    )
    for node, one in (
        (memory, Limits(memory=found.memory)),
        (cpus, Limits(cpus=found.cpus)),
        (pids, Limits(pids=found.pids)),
    ):
        if node is not None:
            placed(node, constraints.check_limits, one)
    return found
