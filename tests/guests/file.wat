;; Makes the file `made` in the first preopen; ends with the errno of the first call that fails.
(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "made")
  (data (i32.const 8) "\10\00\00\00\07\00\00\00content")
  (func $check (param i32)
    (if (local.get 0) (then (call $proc_exit (local.get 0)))))
  (func (export "_start")
    (call $check
      (call $path_open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 4)
        (i32.const 1) (i64.const 0x40) (i64.const 0) (i32.const 0) (i32.const 64)))
    (call $check
      (call $fd_write (i32.load (i32.const 64)) (i32.const 8) (i32.const 1) (i32.const 68)))))
