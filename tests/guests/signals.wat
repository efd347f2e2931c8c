;; Waits for one signal and ends with its number.
(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read"
    (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "dev/wasmimg/signal")
  (data (i32.const 32) "\30\00\00\00\06\00\00\00\60\00\00\00\01\00\00\00ready\n")
  (func $check (param i32)
    (if (local.get 0) (then (unreachable))))
  (func (export "_start")
    (call $check
      (call $path_open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 18)
        (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 64)))
    (call $check (call $fd_write (i32.const 1) (i32.const 32) (i32.const 1) (i32.const 68)))
    (call $check
      (call $fd_read (i32.load (i32.const 64)) (i32.const 40) (i32.const 1) (i32.const 68)))
    (call $proc_exit (i32.load8_u (i32.const 96)))))
