"""ttrpc without a socket: bytes in, calls and answers out (github.com/containerd/ttrpc PROTOCOL.md).

`frame` cuts the stream into frames, `server` and `client` are the two ends of a connection. Whoever
owns a socket feeds them and sends what they return.
"""
