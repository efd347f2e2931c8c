//! Async runtime for wasm32-wasip1 with the WasmEdge socket extension.
