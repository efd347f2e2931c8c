//! Answers: what the published demo sends, and refusals with their reason in JSON.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    HeaderMap, Response, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER,
    },
};
use mysql_wire::{Error, ServerError};
use serde::Serialize;
use std::{fmt, time::Duration};

/// An answer with its whole body.
pub type Answer = Response<Full<Bytes>>;

/// Codes by which the database says that the data itself cannot be stored: column cannot be null,
/// data truncated, out of range, wrong value, incorrect value, too long.
const BAD_DATA: [u16; 6] = [1048, 1265, 1264, 1292, 1366, 1406];
const NO_SUCH_TABLE: u16 = 1146;

/// Why a request is not served.
#[derive(Debug)]
pub enum Refusal {
    /// There is no such path; with no body, as in the published demo.
    NotFound,
    /// The path is served by these methods only.
    Method(&'static str),
    /// The request makes no sense.
    Invalid(String),
    /// The body is longer than this many bytes.
    TooLarge(usize),
    /// The body was not complete after this time.
    TooSlow(Duration),
    /// The database refused, or is not there.
    Database(Error),
}

#[derive(Serialize)]
struct Reason<'a> {
    status: bool,
    reason: &'a str,
}

impl Refusal {
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Database(Error::Server(error)) if BAD_DATA.contains(&error.code) => {
                StatusCode::BAD_REQUEST
            }
            Self::Database(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The answer that tells the client.
    pub fn answer(&self) -> Answer {
        if let Self::NotFound = self {
            let mut answer = Answer::default();
            *answer.status_mut() = StatusCode::NOT_FOUND;
            return answer;
        }
        let reason = self.to_string();
        let body = serde_json::to_vec(&Reason {
            status: false,
            reason: &reason,
        });
        let mut answer = json(body.unwrap_or_default());
        *answer.status_mut() = self.status();
        let headers = answer.headers_mut();
        if let Self::Method(methods) = self {
            headers.insert(ALLOW, HeaderValue::from_static(methods));
        }
        if self.status() == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        answer
    }
}

/// What the client may know; the log has the rest.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("not found"),
            Self::Method(methods) => write!(f, "only {methods} can be used here"),
            Self::Invalid(reason) | Self::Database(Error::Conversion(reason)) => {
                f.write_str(reason)
            }
            Self::TooLarge(limit) => write!(f, "the body is longer than {limit} bytes"),
            Self::TooSlow(limit) => write!(f, "the body took longer than {} s", limit.as_secs()),
            Self::Database(Error::Server(ServerError {
                code: NO_SUCH_TABLE,
                ..
            })) => f.write_str("there is no table of orders yet: GET /init makes one"),
            Self::Database(Error::Server(error)) if BAD_DATA.contains(&error.code) => {
                f.write_str(&error.message)
            }
            Self::Database(_) => f.write_str("the database is not available"),
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

pub fn text(text: &'static str) -> Answer {
    with_type(
        Bytes::from_static(text.as_bytes()),
        "text/plain; charset=utf-8",
    )
}

pub fn json(body: impl Into<Bytes>) -> Answer {
    with_type(body.into(), "application/json")
}

/// What every request that changes something is answered with.
pub fn done() -> Answer {
    json(Bytes::from_static(br#"{"status":true}"#))
}

fn with_type(body: Bytes, kind: &'static str) -> Answer {
    let mut answer = Answer::new(Full::new(body));
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

/// Lets pages from anywhere read the answer.
pub fn allow_origins(headers: &mut HeaderMap) {
    for (name, value) in [
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
        (
            ACCESS_CONTROL_ALLOW_HEADERS,
            "api,Keep-Alive,User-Agent,Content-Type",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use std::{
        future::Future,
        pin::pin,
        task::{Context, Poll, Waker},
    };

    fn refused(code: u16) -> Refusal {
        let message = "Data too long for column 'shipping_address' at row 1".to_owned();
        Refusal::Database(Error::Server(ServerError {
            code,
            state: "22001".into(),
            message,
        }))
    }

    fn body(answer: Answer) -> String {
        let mut collect = pin!(answer.into_body().collect());
        match collect
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(Ok(body)) => String::from_utf8(body.to_bytes().to_vec()).unwrap(),
            _ => panic!("a full body is there at once"),
        }
    }

    #[test]
    fn every_refusal_has_its_status() {
        for (refusal, status) in [
            (Refusal::NotFound, 404),
            (Refusal::Method("GET"), 405),
            (Refusal::Invalid("no".into()), 400),
            (Refusal::TooLarge(1), 413),
            (Refusal::TooSlow(Duration::ZERO), 408),
            (refused(1406), 400),
            (refused(1146), 503),
            (Refusal::Database(Error::Closed), 503),
        ] {
            assert_eq!(refusal.answer().status().as_u16(), status, "{refusal:?}");
        }
    }

    #[test]
    fn reasons_are_json_and_not_found_has_none() {
        let answer = Refusal::Invalid("a \"quote\"".into()).answer();
        assert_eq!(body(answer), r#"{"status":false,"reason":"a \"quote\""}"#);
        assert_eq!(body(Refusal::NotFound.answer()), "");
    }

    #[test]
    fn clients_learn_nothing_of_the_inside() {
        let secret = std::io::Error::other("10.0.0.7 refused");
        let answer = Refusal::Database(Error::Io(secret)).answer();
        assert_eq!(
            body(answer),
            r#"{"status":false,"reason":"the database is not available"}"#
        );
    }
}
