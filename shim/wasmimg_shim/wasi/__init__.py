"""WASI preview 1 and WasmEdge's socket extension as host functions, for any engine.

`world.World` holds one guest's state and hands out the functions; an engine's adapter binds them
(`binding`). Nothing here knows an engine: memory comes as a buffer, results go out as errno
values, and the end of the guest as `Exit` or `Trap`.

The specification is the snapshot `wasi_snapshot_preview1`; the extension is what WasmEdge 0.12 to
0.17 implement, quirks included.
"""
