//! The program's arguments and exit codes.

use std::process::{Command, Output};

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_static-server"))
        .args(args)
        .env_clear()
        .output()
        .unwrap()
}

#[test]
fn version_goes_to_stdout() {
    let output = run(&["--version"]);
    assert!(output.status.success());
    let expected = concat!("static-server ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(output.stdout, expected.as_bytes());
}

#[test]
fn what_is_wrong_is_one_line_on_stderr() {
    let output = run(&["--root", "/no/such/folder"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.contains("/no/such/folder") && text.lines().count() == 1,
        "{text}"
    );
}
