//! The pool against a database that comes and goes.

mod fake;

use fake::{END, Fake, Reply, Stream, numbers, ok, ok_with, once, prepared, run};
use mysql_wire::{Error, Pool};
use std::{io, pin::pin, time::Duration};

const IN_TRANSACTION: u8 = 3;

fn done() -> Reply {
    Reply::Bytes(ok(1))
}

fn answers(value: i64) -> [Reply; 2] {
    [
        Reply::Bytes(prepared(1, 0, 1, true)),
        Reply::Bytes(numbers(1, &[value], true, &END)),
    ]
}

fn read(pool: &Pool<Fake>) -> Result<Vec<i64>, Error> {
    let mut seen = Vec::new();
    run(pool.read("SELECT n FROM t", &[], |row| {
        seen.push(row.get(0)?);
        Ok(())
    }))?;
    Ok(seen)
}

fn query(pool: &Pool<Fake>) -> Result<(), Error> {
    run(async { pool.get().await?.query("DELETE FROM t").await.map(drop) })
}

#[test]
fn a_connection_is_used_again() {
    let fake = Fake::default();
    fake.accept([done(), done(), done()]);
    let pool = fake.pool(1);
    for _ in 0..3 {
        query(&pool).unwrap();
    }
    assert!(matches!(query(&pool), Err(Error::Timeout("a query"))));
}

#[test]
fn a_connection_that_ended_while_idle_is_replaced() {
    let fake = Fake::default();
    let (pool, first) = (fake.pool(1), fake.accept([done()]));
    query(&pool).unwrap();
    first.0.lock().unwrap().end();
    fake.accept([done()]);
    query(&pool).unwrap();
}

#[test]
fn before_writing_a_connection_is_looked_at_however_fresh_it_is() {
    let fake = Fake::default();
    let pool = fake.pool_checking(1, Duration::from_secs(3600));
    let first = fake.accept(answers(1));
    assert_eq!(read(&pool).unwrap(), [1]);
    first.0.lock().unwrap().end();
    fake.accept([done()]);
    query(&pool).unwrap();
}

#[test]
fn only_reading_is_tried_again() {
    for reply in [Reply::End, Reply::Reset] {
        let fake = Fake::default();
        let pool = fake.pool(1);
        fake.accept(answers(1).into_iter().chain([reply.clone()]));
        assert_eq!(read(&pool).unwrap(), [1]);
        fake.accept(answers(2).into_iter().chain([reply]));
        assert_eq!(read(&pool).unwrap(), [2]);
        fake.accept([done()]);
        let error = query(&pool).unwrap_err();
        assert!(error.is_disconnect(), "{error}");
        query(&pool).unwrap();
    }
}

#[test]
fn reading_on_a_new_connection_is_not_tried_again() {
    let fake = Fake::default();
    let pool = fake.pool(1);
    fake.accept([Reply::End]);
    fake.accept(answers(1));
    assert!(matches!(read(&pool), Err(Error::Closed)));
    assert_eq!(read(&pool).unwrap(), [1]);
}

#[test]
fn an_absent_database_takes_no_place() {
    let fake = Fake::default();
    let pool = fake.pool(1);
    for _ in 0..3 {
        assert!(matches!(query(&pool), Err(Error::Io(_))));
    }
    fake.add(Err(io::ErrorKind::TimedOut.into()));
    assert!(matches!(query(&pool), Err(Error::Io(_))));
    fake.accept([done()]);
    query(&pool).unwrap();
}

#[test]
fn a_database_that_says_nothing_is_not_waited_for_long() {
    let fake = Fake::default();
    let pool = fake.pool(1);
    fake.add(Ok(Stream::new(Reply::Silence, [])));
    assert!(matches!(query(&pool), Err(Error::Timeout("connecting"))));
    fake.accept([Reply::Silence]);
    assert!(matches!(query(&pool), Err(Error::Timeout("a query"))));
    fake.accept([done()]);
    query(&pool).unwrap();
}

#[test]
fn the_place_goes_to_the_first_in_line() {
    let fake = Fake::default();
    let pool = fake.pool(1);
    fake.accept([done(), done()]);
    let holder = run(pool.get()).unwrap();
    let (mut first, mut second) = (pin!(pool.get()), pin!(pool.get()));
    assert!(once(first.as_mut()).is_none());
    assert!(once(second.as_mut()).is_none());
    drop(holder);
    assert!(once(second.as_mut()).is_none());
    let mut holder = run(first).unwrap();
    run(holder.query("DELETE FROM t")).unwrap();
    drop(holder);
    run(run(second).unwrap().query("DELETE FROM t")).unwrap();
}

#[test]
fn who_waits_too_long_or_gives_up_leaves_the_line() {
    let fake = Fake::default();
    let pool = fake.pool(1);
    fake.accept([done()]);
    let holder = run(pool.get()).unwrap();
    let result = run(pool.get()).map(drop);
    assert!(matches!(
        result,
        Err(Error::Timeout("waiting for a free connection"))
    ));
    {
        let mut waiting = pin!(pool.get());
        assert!(once(waiting.as_mut()).is_none());
    }
    drop(holder);
    query(&pool).unwrap();
}

#[test]
fn a_request_dropped_half_way_costs_its_connection() {
    let fake = Fake::default();
    let pool = fake.pool(1);
    fake.accept([Reply::Silence]);
    {
        let mut connection = run(pool.get()).unwrap();
        let mut request = pin!(connection.query("SELECT SLEEP(9)"));
        assert!(once(request.as_mut()).is_none());
    }
    fake.accept([done()]);
    query(&pool).unwrap();
}

#[test]
fn an_open_transaction_does_not_return_to_the_pool() {
    let fake = Fake::default();
    let pool = fake.pool(1);
    fake.accept([Reply::Bytes(ok_with(1, IN_TRANSACTION))]);
    query(&pool).unwrap();
    fake.accept([done()]);
    query(&pool).unwrap();
}

#[test]
fn a_closed_pool_says_goodbye() {
    let fake = Fake::default();
    let pool = fake.pool(2);
    let stream = fake.accept([done()]);
    query(&pool).unwrap();
    run(pool.close());
    assert!(matches!(query(&pool), Err(Error::PoolClosed)));
    let state = stream.0.lock().unwrap();
    assert!(state.closed);
    assert!(state.written.ends_with(&[1, 0, 0, 0, 1]));
}
