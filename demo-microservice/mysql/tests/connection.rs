//! One connection against a server that misbehaves.

mod fake;

use fake::{
    ALL, DEPRECATE_EOF, END, END_AND_MORE, EOF, NATIVE, Reply, SHA2, Stream, error, greeting,
    numbers, ok, options, packet, prepared, run,
};
use mysql_wire::{Connection, Error, Options, Row};

const KEY: &str = include_str!("key.pem");

fn login(
    greeting: Reply,
    replies: impl IntoIterator<Item = Reply>,
) -> Result<Connection<Stream>, Error> {
    run(Connection::login(
        Stream::new(greeting, replies),
        &options(),
    ))
}

fn open(capabilities: u32, replies: impl IntoIterator<Item = Reply>) -> Connection<Stream> {
    let first = [Reply::Bytes(ok(2))];
    login(
        greeting(NATIVE, capabilities),
        first.into_iter().chain(replies),
    )
    .unwrap()
}

fn read(connection: &mut Connection<Stream>) -> Result<Vec<i64>, Error> {
    let mut seen = Vec::new();
    run(
        connection.execute_rows("SELECT n FROM t", &[], |row: Row<'_>| {
            seen.push(row.get(0)?);
            Ok(())
        }),
    )?;
    Ok(seen)
}

#[test]
fn a_server_may_go_at_any_byte_of_its_greeting() {
    let Reply::Bytes(whole) = greeting(NATIVE, ALL) else {
        unreachable!()
    };
    for cut in 0..whole.len() {
        let result = login(Reply::BytesThenEnd(whole[..cut].to_vec()), []);
        assert!(matches!(result, Err(Error::Closed)), "{cut}");
    }
}

#[test]
fn a_refused_login_is_the_servers_error() {
    let error = login(greeting(NATIVE, ALL), [Reply::Bytes(error(2, 1045))]).unwrap_err();
    assert_eq!(error.to_string(), "error 1045 (HY000): refused");
}

#[test]
fn the_server_may_switch_to_the_users_plugin() {
    let switch = |plugin: &str| {
        let payload = [&[0xfe][..], plugin.as_bytes(), b"\0abcdefghijabcdefghij\0"].concat();
        Reply::Bytes(packet(2, &payload))
    };
    for (first, second, length) in [("client_ed25519", NATIVE, 20), (NATIVE, SHA2, 32)] {
        let stream = Stream::new(greeting(first, ALL), [switch(second), Reply::Bytes(ok(4))]);
        run(Connection::login(stream.clone(), &options())).unwrap();
        let written = &stream.0.lock().unwrap().written;
        let proof = &written[written.len() - length - 4..];
        assert_eq!(
            proof[..4],
            [u8::try_from(length).unwrap(), 0, 0, 3],
            "{second}"
        );
    }
    let error = login(greeting(NATIVE, ALL), [switch("client_ed25519")]).unwrap_err();
    assert!(error.to_string().contains("client_ed25519"), "{error}");
}

#[test]
fn the_whole_password_travels_encrypted() {
    let replies = || {
        let key = [b"\x01", KEY.as_bytes()].concat();
        [
            Reply::Bytes(packet(2, &[1, 4])),
            Reply::Bytes(packet(4, &key)),
            Reply::Bytes(ok(6)),
        ]
    };
    let stream = Stream::new(greeting(SHA2, ALL), replies());
    run(Connection::login(stream.clone(), &options())).unwrap();
    let written = stream.0.lock().unwrap().written.clone();
    assert_eq!(written[written.len() - 260..][..4], [0, 1, 0, 5]);
    assert!(!written.windows(10).any(|window| window == b"whalehello"));

    let careful = Options {
        fetch_public_key: false,
        ..options()
    };
    let result = run(Connection::login(
        Stream::new(greeting(SHA2, ALL), replies()),
        &careful,
    ));
    assert!(matches!(result, Err(Error::Auth(_))));
}

#[test]
fn a_known_password_needs_no_key() {
    let fast = [packet(2, &[1, 3]), ok(3)].concat();
    login(greeting(SHA2, ALL), [Reply::Bytes(fast)]).unwrap();
}

#[test]
fn a_login_without_end_is_given_up() {
    let replies = (0..20).map(|i| {
        let payload = [&[0xfe][..], NATIVE.as_bytes(), b"\0abcdefghijabcdefghij\0"].concat();
        Reply::Bytes(packet(2 + 2 * i, &payload))
    });
    assert!(matches!(
        login(greeting(NATIVE, ALL), replies),
        Err(Error::Protocol(_))
    ));
}

#[test]
fn rows_are_read_with_and_without_eof_packets() {
    for deprecates in [true, false] {
        let capabilities = if deprecates {
            ALL
        } else {
            ALL & !DEPRECATE_EOF
        };
        let end = if deprecates { &END[..] } else { &EOF };
        let rows = Reply::Bytes(numbers(1, &[1, -2, i64::MAX], deprecates, end));
        let first = Reply::Bytes(prepared(1, 0, 1, deprecates));
        let mut connection = open(capabilities, [first, rows.clone(), rows]);
        for _ in 0..2 {
            assert_eq!(read(&mut connection).unwrap(), [1, -2, i64::MAX]);
        }
        assert!(connection.is_reusable());
    }
}

#[test]
fn every_result_of_a_procedure_is_read() {
    let mut bytes = numbers(1, &[1, 2], true, &END_AND_MORE);
    bytes.extend(numbers(6, &[3], true, &END_AND_MORE));
    bytes.extend(ok(10));
    let mut connection = open(
        ALL,
        [Reply::Bytes(prepared(1, 0, 0, true)), Reply::Bytes(bytes)],
    );
    assert_eq!(read(&mut connection).unwrap(), [1, 2, 3]);
    assert!(connection.is_reusable());
}

#[test]
fn an_error_between_rows_leaves_the_connection_usable() {
    let failing = [&[0xff][..], &1317_u16.to_le_bytes(), b"#70100interrupted"].concat();
    let rows = Reply::Bytes(numbers(1, &[1], true, &failing));
    let mut connection = open(
        ALL,
        [
            Reply::Bytes(prepared(1, 0, 1, true)),
            rows,
            Reply::Bytes(ok(1)),
        ],
    );
    assert!(matches!(read(&mut connection), Err(Error::Server(error)) if error.code == 1317));
    assert!(connection.is_reusable());
    run(connection.ping()).unwrap();
}

#[test]
fn a_caller_that_cannot_use_a_row_leaves_the_connection_usable() {
    let rows = Reply::Bytes(numbers(1, &[1, 1 << 40, 3], true, &END));
    let mut connection = open(ALL, [Reply::Bytes(prepared(1, 0, 1, true)), rows]);
    let mut seen = Vec::new();
    let result = run(connection.execute_rows("SELECT n FROM t", &[], |row| {
        seen.push(row.get::<i32>(0)?);
        Ok(())
    }));
    assert_eq!(
        result.unwrap_err().to_string(),
        "column n: an integer does not fit i32"
    );
    assert_eq!(seen, [1]);
    assert!(connection.is_reusable());
}

#[test]
fn a_statement_that_the_server_lost_is_prepared_again() {
    let replies = [
        prepared(1, 0, 1, true),
        numbers(1, &[1], true, &END),
        error(1, 1615),
        prepared(2, 0, 1, true),
        numbers(1, &[2], true, &END),
        error(1, 1243),
        prepared(3, 0, 1, true),
        error(1, 1146),
    ];
    let mut connection = open(ALL, replies.map(Reply::Bytes));
    assert_eq!(read(&mut connection).unwrap(), [1]);
    assert_eq!(read(&mut connection).unwrap(), [2]);
    assert!(matches!(read(&mut connection), Err(Error::Server(error)) if error.code == 1146));
}

#[test]
fn parameters_must_match_the_marks() {
    let mut connection = open(ALL, [Reply::Bytes(prepared(1, 2, 0, true))]);
    let error = run(connection.execute("INSERT INTO t VALUES (?, ?)", &[1.into()])).unwrap_err();
    assert_eq!(error.to_string(), "the statement has 2 parameters, not 1");
    assert!(connection.is_reusable());
}

#[test]
fn no_server_gets_a_local_file() {
    let mut connection = open(ALL, [Reply::Bytes(packet(1, b"\xfb/etc/passwd"))]);
    assert!(matches!(
        run(connection.query("LOAD DATA")),
        Err(Error::Protocol(_))
    ));
    assert!(!connection.is_reusable());
}

#[test]
fn a_broken_answer_ends_the_connection() {
    let whole = numbers(1, &[1, 2], true, &END);
    for cut in 0..whole.len() {
        let rows = Reply::BytesThenEnd(whole[..cut].to_vec());
        let mut connection = open(ALL, [Reply::Bytes(prepared(1, 0, 1, true)), rows]);
        assert!(matches!(read(&mut connection), Err(Error::Closed)), "{cut}");
        assert!(!connection.is_reusable());
        assert!(matches!(run(connection.ping()), Err(Error::Usage(_))));
    }
}
