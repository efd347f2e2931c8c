;; Writes once, grows by 10 pages, then writes from the new pages and has the result put there.
(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\10\00\00\00\00\00\00\00grown\n")
  (func (export "_start")
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)))
    (drop (memory.grow (i32.const 10)))
    (memory.copy (i32.const 600000) (i32.const 8) (i32.const 6))
    (i32.store (i32.const 600008) (i32.const 600000))
    (i32.store (i32.const 600012) (i32.const 6))
    (call $proc_exit
      (i32.or
        (call $fd_write (i32.const 1) (i32.const 600008) (i32.const 1) (i32.const 600016))
        (i32.ne (i32.load (i32.const 600016)) (i32.const 6))))))
