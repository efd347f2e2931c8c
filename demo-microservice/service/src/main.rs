//! Orders over HTTP, kept in MySQL or MariaDB.
//!
//! The same source is a `wasm32-wasip1` module, a `wasm32-wasip2` component and a native program;
//! only [`net`] knows which.

#![forbid(unsafe_code)]

mod answer;
mod api;
mod body;
mod config;
mod connection;
mod log;
mod net;
mod orders;
mod roster;
mod server;

use config::{Config, Request};
use std::{env, process::ExitCode};

const HELP: &str = "\
Usage: demo-microservice [--help | --version]

Serves orders over HTTP from a MySQL or MariaDB database.

Environment:
  DATABASE_URL  mysql://user:password@host:port/database
                (default mysql://root:pass@127.0.0.1:3306/mysql)
  PORT          where to listen (default 8080)
  DNS_SERVER    ip or ip:port to ask for the database's address
                (default: the host's resolver)
  IDLE_TIMEOUT  seconds without a request after which a connection is closed (default 60)

SIGTERM and SIGINT stop it in good order.";

fn main() -> ExitCode {
    let config = match config::request(env::args().skip(1)) {
        Ok(Request::Help) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Ok(Request::Version) => {
            println!("{} {}", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        Ok(Request::Serve) => Config::from_environ(|name| env::var_os(name)),
        Err(error) => Err(error),
    };
    let config = match config {
        Ok(config) => config,
        Err(error) => {
            log::line(format_args!("error: {error}"));
            return ExitCode::from(2);
        }
    };
    match net::block_on(server::run(config)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            log::line(format_args!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}
