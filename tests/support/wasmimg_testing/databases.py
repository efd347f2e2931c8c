"""Private database servers for tests: on a free loopback port, with files of their own."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Protocol

from wasmimg_testing.waiting import free_port, until

#: user name -> password; what is odd about each is in its name
USERS = {
    "orders": "whalehello",
    "empty": "",
    "unicode": "pässwört/日本:@%",
    "long": "x" * 200,
}
GREETING = 10


class Flavour(Protocol):
    """What differs between the servers."""

    name: str
    plugin: str

    def initialise(self, data: Path, account: str) -> None:
        """Make an empty data folder."""
        ...

    def command(self) -> list[str]:
        """Give the server's program with the options that only it needs."""
        ...


class MariaDb:
    """Debian's own MariaDB."""

    name = "mariadb"
    plugin = "mysql_native_password"

    def initialise(self, data: Path, account: str) -> None:
        subprocess.run(
            [
                "mariadb-install-db",
                "--no-defaults",
                f"--datadir={data}",
                f"--user={account}",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                "--character-set-server=utf8mb4",
            ],
            check=True,
            capture_output=True,
        )

    def command(self) -> list[str]:
        return ["/usr/sbin/mariadbd", "--no-defaults", "--skip-log-bin"]


class Server:
    """A running server; `url()` is what a client needs."""

    def __init__(self, flavour: Flavour) -> None:
        self.flavour = flavour
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix=f"wasmimg-{flavour.name}-"))
        # A server that may not run as root cannot enter the folders that pytest makes for root.
        self.account = self._account()
        entry = pwd.getpwnam(self.account)
        os.chown(self.folder, entry.pw_uid, entry.pw_gid)
        self._process: subprocess.Popen[bytes] | None = None
        (self.folder / "init.sql").write_text(self._accounts(), encoding="utf-8")
        try:
            flavour.initialise(self.folder / "data", self.account)
            self.start()
        except BaseException:
            self.close()
            raise

    def start(self) -> None:
        """Start the server and wait until it takes logins."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *self.flavour.command(),
                    f"--user={self.account}",
                    f"--datadir={self.folder}/data",
                    f"--socket={self.folder}/socket",
                    f"--pid-file={self.folder}/pid",
                    f"--port={self.port}",
                    f"--init-file={self.folder}/init.sql",
                    "--bind-address=127.0.0.1",
                    "--character-set-server=utf8mb4",
                    "--innodb-buffer-pool-size=32M",
                    "--innodb-flush-log-at-trx-commit=0",
                    "--max-allowed-packet=64M",
                ],
                stdout=log,
                stderr=log,
            )
        until(self._greets, f"{self.flavour.name}: {self.folder}/log")

    def stop(self) -> None:
        """Stop the server; its data stay."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)
            self._process = None

    def restart(self) -> None:
        """Stop the server and start it again at the same port."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop the server and remove its files."""
        self.stop()
        shutil.rmtree(self.folder)

    def url(self, database: str, user: str = "orders", password: str | None = None) -> str:
        """Give a DATABASE_URL, every special character escaped."""
        secret = USERS[user] if password is None else password
        escaped = "".join(f"%{byte:02X}" for byte in secret.encode())
        return f"mysql://{user}:{escaped}@127.0.0.1:{self.port}/{database}"

    def sql(self, statement: str) -> str:
        """Run a statement as the administrator, by Debian's client."""
        return subprocess.run(
            [
                "mariadb",
                "--no-defaults",
                f"--socket={self.folder}/socket",
                "--user=root",
                "--default-character-set=utf8mb4",
                "--batch",
                "--skip-column-names",
                f"--execute={statement}",
            ],
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    def _account(self) -> str:
        if os.geteuid() != 0:
            return pwd.getpwuid(os.geteuid()).pw_name
        return "mysql" if any(entry.pw_name == "mysql" for entry in pwd.getpwall()) else "nobody"

    def _accounts(self) -> str:
        """Give the statements that the server runs at each start, one a line."""
        lines: list[str] = []
        for user, password in USERS.items():
            identified = f"IDENTIFIED WITH {self.flavour.plugin}"
            secret = f"AS PASSWORD('{password}')" if self.flavour.name == "mariadb" else ""
            secret = secret or f"BY '{password}'"
            lines += [
                f"CREATE USER IF NOT EXISTS '{user}'@'%' {identified} {secret};",
                f"GRANT ALL ON *.* TO '{user}'@'%';",
            ]
        return "\n".join(lines) + "\n"

    def _greets(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "log").read_text()
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                greeting = connection.recv(5)
        except OSError:
            return False
        return len(greeting) == len(b"len\0v") and greeting[4] == GREETING
