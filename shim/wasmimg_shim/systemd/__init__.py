"""systemd as the keeper of cgroups: its driver, where a container's configuration asks for it.

`dbus` knows messages, `connection` asks systemd, `properties` words limits as a unit's properties, and
`keeper` is the process that a container's scope begins with. Nothing here knows engines or protocols.
"""
