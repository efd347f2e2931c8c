#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod auth;
mod channel;
mod connection;
mod error;
mod login;
mod packet;
mod pool;
mod pooled;
mod queue;
mod results;
mod row;
mod rsa;
mod statements;
mod time;
mod url;
mod value;
mod wire;

pub use crate::{
    connection::{Connection, Outcome},
    error::{Error, Result, ServerError},
    pool::{Connector, Limits, Pool},
    pooled::Pooled,
    row::{Column, Row},
    time::{Clock, DateTime},
    url::{Options, UrlError},
    value::{FromValue, Value},
};
