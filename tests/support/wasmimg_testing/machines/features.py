"""What is supported under which engine: features, and the tests on real engines that show them.

The table of docs/shim.md is made of this and of what pytest collects in tests/machines
(tests/unit/test_supported.py compares them), so that a row can't say more than a test does.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import NamedTuple

#: as in tests' ids, and as the table calls them
ENGINES = ("docker-28.5", "docker-26.1", "containerd-2.1", "containerd-1.7", "containerd-1.6")
HEAD = ("", "Docker 28.5", "Docker 26.1", "containerd 2.1", "containerd 1.7", "containerd 1.6")
YES, REFUSED, UNTESTED = "yes", "refused", "-"

#: feature -> patterns of FILE::TEST, without `test_` before either
FEATURES = {
    "output and exit codes of the guest; traps": (
        "*::output_and_exit_code_are_the_guests",
        "docker_life::a_trap_is_134_and_says_why",
    ),
    "wrong entrypoints with Docker's codes": (
        "docker_life::what_cannot_run_has_dockers_exit_code",
        "containerd::a_wrong_entrypoint_is_named",
    ),
    "arguments, environment, working directory": (
        "docker_options::arguments_and_environment",
        "docker_options::the_working_directory",
        "containerd::arguments_environment_and_mounts",
    ),
    "another entrypoint, `file.wasm#function`, `--init`": (
        "docker_options::the_entrypoint_and_a_function",
        "docker_options::dockers_own_init_is_not_needed",
    ),
    "standard input, with its end": ("*::standard_input_ends_when_the_client_does",),
    "attach, `logs -f`, no word lost": (
        "docker_life::attach_joins_a_running_container",
        "docker_life::logs_are_followed_to_the_end",
        "docker_life::the_engine_loses_no_word_of_a_loud_guest",
    ),
    "output to files and to loggers (`binary://`)": (
        "containerd::a_file_gets_what_is_written",
        "containerd::a_logger_*",
    ),
    "`inspect`, `cp`": (
        "docker_life::inspect_is_json_of_a_container",
        "docker_life::files_are_copied_in_and_out",
    ),
    "listed with its processes, killed, waited for, removed": (
        "docker_life::a_detached_container_is_seen_everywhere",
        "containerd::a_detached_task_is_listed_signalled_and_deleted",
    ),
    "signals, graceful stop, start again, restart policies": (
        "docker_life::a_signal_that_nobody_takes_ends_it",
        "docker_life::stop_lets_a_server_finish",
        "docker_life::it_can_be_started_again",
        "docker_life::the_daemon_restarts_what_fails",
        "docker_options::the_stop_signal_is_the_containers",
    ),
    "made and never started; killed between Create and Start": (
        "docker_life::one_that_was_never_started_goes_away",
        "containerd::a_task_may_be_made_and_never_started",
        "containerd_robustness::a_task_is_killed_between_create_and_start",
    ),
    "containers outlive the daemon's restart": (
        "docker_life::a_restarted_daemon_*",
        "docker_life::with_live_restore_*",
        "containerd::tasks_outlive_containerd",
    ),
    "a killed shim is cleaned up after": ("docker_life::a_shim_that_is_killed_*",),
    "asked who it is (`-info`); one shim for a namespace": (
        "containerd::containerd_asks_who_the_shim_is",
        "containerd::by_configuration_one_shim_serves_a_namespace",
    ),
    "events in order": ("containerd::events_come_in_the_order_*",),
    "volumes, bind mounts, tmpfs, read-only root": (
        "docker_options::a_read_only_root",
        "docker_options::folders_of_the_host",
        "docker_options::volumes_keep_what_is_written",
    ),
    "Docker's seccomp profile": (
        "docker_options::other_options_do_no_harm",
        "containerd::with_dockers_seccomp_profile",
    ),
    "users, capabilities, devices, sysctls and so on": (
        "docker_options::a_user_may_do_no_more_than_a_user",
        "docker_options::other_options_do_no_harm",
    ),
    "limits of memory, CPU and pids; out of memory is told": (
        "docker_options::too_much_memory_is_reported_as_such",
        "docker_options::limits_are_the_cgroups",
        "docker_options::the_cgroup_is_below_the_parent_that_is_named",
    ),
    "networks: none, host, bridge, own ones; published ports; names": (
        "docker_networks::*",
        "docker_options::names_are_found_as_they_are_given",
    ),
    "Linux images under the same runtime": ("docker_linux::*", "containerd::linux_images_*"),
    "names of other shims": ("docker_options::other_shims_names_are_answered",),
    "platforms `wasip1/wasm`, `wasi/wasm32`, `linux/*` with a module": (
        "*_foreign::every_name_of_the_platform",
    ),
    "modules that are layers": (
        "*_foreign::modules_that_are_layers",
        "*_foreign::several_modules_*",
        "docker_foreign::files_are_looked_for_before_layers",
    ),
    "Wasm OCI artifacts, the command given": (
        "docker_foreign::an_artifact_with_a_command",
        "containerd_foreign::an_artifact_with_a_command",
    ),
    "Wasm OCI artifacts by themselves": ("docker_foreign::an_artifact_by_itself",),
    "images from registries: ours and Debian's": ("registries::*",),
    "`wasmimg install` and `uninstall`": ("install::*",),
    "200 starts in a row on a bridge \\*": ("docker_robustness::starts_on_a_bridge_in_a_row",),
    "200 containers by 4 at a time, 100 at once \\*": (
        "*::*_four_at_a_time",
        "*::many_at_once",
    ),
    "a gigabyte of output \\*": ("*_robustness::a_gigabyte_of_*",),
    "700 mounts on the host": ("*_robustness::seven_hundred_mounts_on_the_host",),
    "networks that fail between Create and Start": ("docker_robustness::a_*_hangs_nothing",),
}


class Shown(NamedTuple):
    """A test as it was collected for an engine; `refused`: it shows a refusal there."""

    name: str
    engine: str
    refused: bool


def table(tests: Iterable[Shown]) -> str:
    """Make the table, in Markdown."""
    found = list(tests)
    rows = [HEAD, ("---",) * len(HEAD)]
    for feature, patterns in FEATURES.items():
        of_it = [test for test in found if _is_of(test.name, patterns)]
        rows.append((feature, *(_cell(engine, of_it) for engine in ENGINES)))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def without_a_feature(tests: Iterable[Shown]) -> set[str]:
    """Name the tests that no feature has."""
    names = {test.name for test in tests}
    return {n for n in names if not any(_is_of(n, patterns) for patterns in FEATURES.values())}


def _is_of(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _cell(engine: str, tests: list[Shown]) -> str:
    there = [test.refused for test in tests if test.engine == engine]
    if not there:
        return UNTESTED
    return REFUSED if any(there) else YES
