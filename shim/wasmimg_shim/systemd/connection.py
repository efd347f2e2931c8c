"""A connection to systemd's manager of units, for one caller that may wait.

root speaks to systemd itself, on the socket that `systemctl` uses, so that no message bus need run;
where that is not to be had, through the system's bus. Source: org.freedesktop.systemd1(5).
"""

from __future__ import annotations

import os
import socket

from wasmimg_images.errors import HostError
from wasmimg_shim.systemd import dbus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from wasmimg_shim.systemd.properties import Property

PRIVATE, BUS = "/run/systemd/private", "/run/dbus/system_bus_socket"
#: seconds for one answer, and for a job's end: as long as systemd gives its own clients
PATIENCE = 30.0
_NAME, _MANAGER = "org.freedesktop.systemd1", "org.freedesktop.systemd1.Manager"
_OBJECT = "/org/freedesktop/systemd1"
_JOBS = f"type='signal',interface='{_MANAGER}',member='JobRemoved'"
_LONGEST_LINE = 512


class Connection:
    """A connection; not for more than one thread."""

    def __init__(self, connection: socket.socket) -> None:
        """`connection` is one to systemd or to the bus, on which nothing has been said yet."""
        self._socket = connection
        self._socket.settimeout(PATIENCE)
        self._serial = 0
        self._signals: list[dbus.Message] = []

    @classmethod
    def connect(cls, private: str = PRIVATE, bus: str = BUS) -> Connection:
        """Connect to systemd; HostError where there is no way to it."""
        refused: list[str] = []
        for path in (private, bus):
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
            try:
                connection.connect(path)
                made = cls(connection)
                made.greet(on_bus=path == bus)
            except OSError as error:
                connection.close()
                refused.append(f"{path}: {error.strerror or error}")
            else:
                return made
        raise HostError(
            f"systemd cannot be asked for a cgroup: {'; '.join(refused)}",
            hint="does the engine run where systemd does? its cgroup driver may be cgroupfs, too",
        )

    def greet(self, *, on_bus: bool) -> None:
        """Say who we are (D-Bus Specification, "Authentication Protocol"), and what we listen to."""
        uid = str(os.geteuid()).encode().hex()
        self._socket.sendall(f"\0AUTH EXTERNAL {uid}\r\n".encode())
        line = b""
        while not line.endswith(b"\r\n") and len(line) < _LONGEST_LINE:
            part = self._socket.recv(1)
            if not part:
                raise ConnectionResetError("closed while it was greeted")
            line += part
        if not line.startswith(b"OK "):
            raise HostError(f"systemd does not take us: {line.decode(errors='replace').strip()}")
        self._socket.sendall(b"BEGIN\r\n")
        if on_bus:
            own, path = "org.freedesktop.DBus", "/org/freedesktop/DBus"
            self._call(own, path, own, "Hello")
            self._call(own, path, own, "AddMatch", "s", (_JOBS,))
            self._call(_NAME, _OBJECT, _MANAGER, "Subscribe")

    def start_transient(self, unit: str, properties: Iterable[Property]) -> None:
        """Make a unit and wait until it has started; HostError with systemd's words if it has not."""
        pairs = [(p.name, dbus.Variant(p.signature, p.value)) for p in properties]
        auxiliary: list[object] = []
        values = (unit, "fail", pairs, auxiliary)
        match self._call(
            _NAME, _OBJECT, _MANAGER, "StartTransientUnit", "ssa(sv)a(sa(sv))", values
        ):
            case (str(job),):
                result = self._end_of(job)
            case other:
                raise HostError(f"systemd answers {other!r}")
        if result != "done":
            raise HostError(
                f"systemd has not started {unit}: {result}", hint=f"see journalctl --unit {unit}"
            )

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def _end_of(self, job: str) -> str:
        while True:
            message = self._signals.pop(0) if self._signals else self._receive()
            if message.fields.get(dbus.MEMBER) != "JobRemoved":
                continue
            match message.body:
                case (_, str(removed), _, str(result)) if removed == job:
                    return result
                case _:
                    pass

    def _call(
        self,
        destination: str,
        path: str,
        interface: str,
        member: str,
        signature: str = "",
        values: Iterable[object] = (),
    ) -> tuple[object, ...]:
        self._serial += 1
        fields = (
            (dbus.PATH, path),
            (dbus.DESTINATION, destination),
            (dbus.INTERFACE, interface),
            (dbus.MEMBER, member),
        )
        self._socket.sendall(dbus.call(self._serial, fields, signature, values))
        while True:
            message = self._receive()
            if message.kind == dbus.SIGNAL:
                self._signals.append(message)
            elif message.fields.get(dbus.REPLY_SERIAL) != self._serial:
                continue
            elif message.kind == dbus.REPLY:
                return message.body
            else:
                words = message.body[0] if message.body else message.fields.get(dbus.ERROR_NAME)
                raise HostError(f"systemd refuses {member}: {words}")

    def _receive(self) -> dbus.Message:
        start = self._exactly(dbus.FIXED_HEADER)
        return dbus.parse(start + self._exactly(dbus.size(start) - len(start)))

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            part = self._socket.recv(size - len(data))
            if not part:
                raise ConnectionResetError("systemd has closed the connection")
            data += part
        return bytes(data)
