;; Listens on a free port of 127.0.0.1 and writes the port (32 bits) to standard output. Reads from
;; one connection, says `read`, waits for the end of standard input, answers, then sleeps.
(module
  (import "wasi_snapshot_preview1" "sock_open" (func $open (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sock_bind" (func $bind (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sock_listen" (func $listen (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sock_getlocaladdr"
    (func $local (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sock_accept"
    (func $accept (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff"
    (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  ;; 0: address {buffer 8, length 4}; 8: 127.0.0.1; 16: family; 20: port; 24: listener; 28: client
  (data (i32.const 0) "\08\00\00\00\04\00\00\00\7f\00\00\01")
  ;; 32: the port; 40: a buffer of 64 bytes at 256; 48: `read`; 56: `answer`
  (data (i32.const 32) "\14\00\00\00\04\00\00\00\00\01\00\00\40\00\00\00")
  (data (i32.const 48) "\40\00\00\00\05\00\00\00\48\00\00\00\07\00\00\00read\n\00\00\00answer\n")
  ;; 128: a subscription to the monotonic clock, 1000 s
  (data (i32.const 144) "\01\00\00\00\00\00\00\00\00\10\a5\d4\e8")
  (func $check (param i32)
    (if (local.get 0) (then (unreachable))))
  (func (export "_start")
    (call $check (call $open (i32.const 1) (i32.const 2) (i32.const 24)))
    (call $check (call $bind (i32.load (i32.const 24)) (i32.const 0) (i32.const 0)))
    (call $check (call $listen (i32.load (i32.const 24)) (i32.const 8)))
    (call $check
      (call $local (i32.load (i32.const 24)) (i32.const 0) (i32.const 16) (i32.const 20)))
    (call $check (call $write (i32.const 1) (i32.const 32) (i32.const 1) (i32.const 512)))
    (call $check (call $accept (i32.load (i32.const 24)) (i32.const 0) (i32.const 28)))
    (call $check
      (call $read (i32.load (i32.const 28)) (i32.const 40) (i32.const 1) (i32.const 512)))
    (call $check (call $write (i32.const 1) (i32.const 48) (i32.const 1) (i32.const 512)))
    (call $check (call $read (i32.const 0) (i32.const 40) (i32.const 1) (i32.const 512)))
    (call $check
      (call $write (i32.load (i32.const 28)) (i32.const 56) (i32.const 1) (i32.const 512)))
    (call $check (call $poll (i32.const 128) (i32.const 192) (i32.const 1) (i32.const 512)))))
