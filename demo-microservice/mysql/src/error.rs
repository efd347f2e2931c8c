//! What can go wrong between a caller and the database.

use std::{borrow::Cow, fmt, io, str};

/// The result of talking to the database.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed exchange with the database.
#[derive(Debug)]
pub enum Error {
    /// The stream could not be opened, or failed while in use.
    Io(io::Error),
    /// The server closed the connection where an answer was due.
    Closed,
    /// The server refused the request; the connection stays usable.
    Server(ServerError),
    /// The server sent bytes that the protocol does not allow here.
    Protocol(Cow<'static, str>),
    /// This client cannot log in the way the server asks for.
    Auth(Cow<'static, str>),
    /// A column could not be read as the type that was asked for.
    Conversion(String),
    /// The statement and its parameters do not fit together.
    Usage(Cow<'static, str>),
    /// The named step took longer than its limit.
    Timeout(&'static str),
    /// The pool has been closed.
    PoolClosed,
}

/// An `ERR_Packet`: MySQL protocol, "Generic Response Packets".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerError {
    /// The number, such as 1146 for a missing table.
    pub code: u16,
    /// The five characters of SQLSTATE; `HY000` where the server sent none.
    pub state: String,
    /// The server's own words.
    pub message: String,
}

impl ServerError {
    /// Reads an `ERR_Packet`, first byte `0xff` included.
    ///
    /// Errors of the connection phase come without the SQLSTATE part.
    pub(crate) fn parse(payload: &[u8]) -> Result<Self> {
        let (Some(&code), Some(rest)) = (
            payload.get(1..).and_then(<[u8]>::first_chunk),
            payload.get(3..),
        ) else {
            return Err(Error::Protocol("an error packet ends early".into()));
        };
        let (state, message) = match rest {
            [b'#', rest @ ..] if rest.len() >= 5 => {
                let (state, message) = rest.split_at(5);
                (String::from_utf8_lossy(state).into_owned(), message)
            }
            message => ("HY000".to_owned(), message),
        };
        let message = String::from_utf8_lossy(message).into_owned();
        Ok(Self {
            code: u16::from_le_bytes(code),
            state,
            message,
        })
    }
}

impl Error {
    pub(crate) fn protocol(what: impl Into<Cow<'static, str>>) -> Self {
        Self::Protocol(what.into())
    }

    /// Whether the connection is gone, so that only another one can serve the request.
    #[must_use]
    pub fn is_disconnect(&self) -> bool {
        matches!(
            self,
            Self::Io(_) | Self::Closed | Self::Protocol(_) | Self::Timeout(_)
        )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::Closed => f.write_str("the server closed the connection"),
            Self::Server(error) => write!(f, "{error}"),
            Self::Protocol(what) => write!(f, "unexpected answer from the server: {what}"),
            Self::Auth(what) => write!(f, "cannot log in: {what}"),
            Self::Conversion(what) => f.write_str(what),
            Self::Usage(what) => f.write_str(what),
            Self::Timeout(step) => write!(f, "timed out: {step}"),
            Self::PoolClosed => f.write_str("the connection pool is closed"),
        }
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error {} ({}): {}", self.code, self.state, self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Closed,
            _ => Self::Io(error),
        }
    }
}

impl From<ServerError> for Error {
    fn from(error: ServerError) -> Self {
        Self::Server(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_packet_has_code_state_and_message() {
        let error = ServerError::parse(b"\xff\x7a\x04#42S02no such table").unwrap();
        assert_eq!(error.to_string(), "error 1146 (42S02): no such table");
    }

    #[test]
    fn an_error_of_the_connection_phase_has_no_state() {
        let error = ServerError::parse(b"\xff\x10\x04Too many connections").unwrap();
        assert_eq!(error.code, 1040);
        assert_eq!(error.state, "HY000");
        assert_eq!(error.message, "Too many connections");
    }

    #[test]
    fn a_short_error_packet_is_refused() {
        for length in 0..3 {
            let bytes = &b"\xff\x10\x04"[..length];
            assert!(matches!(ServerError::parse(bytes), Err(Error::Protocol(_))));
        }
    }
}
