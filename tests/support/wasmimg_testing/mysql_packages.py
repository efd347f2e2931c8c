"""MySQL's own server, which Debian has in sid only.

`unpacked()` fetches the server and its libraries with a private apt configuration (the host's is
neither read nor changed, nothing is installed), unpacks them into a cache folder and gives a
command line that runs the server with those libraries.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

PACKAGE: Final = "mysql-server-core"
KEYRING: Final = "/usr/share/keyrings/debian-archive-keyring.gpg"
#: what the server does not load, and would only cost time
UNUSED: Final = ("perl", "libperl", "mysql-common")


class MySql:
    """MySQL 9, run from unpacked packages."""

    name = "mysql"
    plugin = "caching_sha2_password"

    def __init__(self, root: Path) -> None:
        self.root = root

    def initialise(self, data: Path, account: str) -> None:
        command = [*self.command(), "--initialize-insecure", f"--user={account}"]
        subprocess.run([*command, f"--datadir={data}"], check=True, capture_output=True)

    def command(self) -> list[str]:
        lib = self.root / "usr/lib/x86_64-linux-gnu"
        return [
            str(lib / "ld-linux-x86-64.so.2"),
            "--library-path",
            str(lib),
            str(self.root / "usr/sbin/mysqld"),
            "--no-defaults",
            f"--basedir={self.root}/usr",
            f"--lc-messages-dir={self.root}/usr/share/mysql",
            "--disable-log-bin",
            "--mysqlx=0",
            "--secure-file-priv=NULL",
        ]


def unpacked(cache: Path) -> Path:
    """Give the folder with the unpacked packages, made once.

    Raises CalledProcessError where the packages can't be had.
    """
    root = cache / "root"
    if root.is_dir():
        return root
    cache.mkdir(parents=True, exist_ok=True)
    # The server may run as another user.
    cache.chmod(0o755)
    _apt(cache, "update")
    _apt(cache, "install", "--yes", "--download-only", PACKAGE)
    partial = cache / "root.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    for archive in sorted((cache / "apt/cache/archives").glob("*.deb")):
        if not archive.name.startswith(UNUSED):
            subprocess.run(["dpkg-deb", "-x", archive, partial], check=True)
    shutil.rmtree(cache / "apt")
    partial.rename(root)
    return root


def _mirror() -> str:
    """Give the mirror that this machine has its own packages from."""
    words = ("indextargets", "--format", "$(SITE)", "Created-By: Packages", "Label: Debian")
    listed = subprocess.run(["apt-get", *words], check=True, capture_output=True, text=True)
    return listed.stdout.split()[0]


def _apt(cache: Path, *words: str) -> None:
    apt = cache / "apt"
    for folder in ("lists/partial", "cache/archives/partial"):
        (apt / folder).mkdir(parents=True, exist_ok=True)
    (apt / "status").touch()
    (apt / "sources.list").write_text(f"deb [signed-by={KEYRING}] {_mirror()} sid main\n")
    config = apt / "apt.conf"
    config.write_text(
        f'Dir::Etc::sourcelist "{apt}/sources.list";\n'
        'Dir::Etc::sourceparts "-";\n'
        f'Dir::State::lists "{apt}/lists";\n'
        f'Dir::State::status "{apt}/status";\n'
        f'Dir::Cache "{apt}/cache";\n'
        'APT::Install-Recommends "false";\n'
        'APT::Sandbox::User "root";\n'
        'Acquire::Check-Valid-Until "false";\n'
    )
    environment = {**os.environ, "APT_CONFIG": str(config), "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "--quiet", *words], env=environment, check=True, capture_output=True)
