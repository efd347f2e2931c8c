//! What the command line and the environment ask for.

use mysql_wire::Options;
use std::{ffi::OsString, fmt, str::FromStr, time::Duration};

const DEFAULT_DATABASE: &str = "mysql://root:pass@127.0.0.1:3306/mysql";
const DEFAULT_PORT: u16 = 8080;
const DEFAULT_IDLE: u32 = 60;

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    Serve,
    Help,
    Version,
}

/// How to serve.
#[derive(Debug, PartialEq, Eq)]
pub struct Config {
    pub database: Options,
    pub port: u16,
    /// A connection without requests is closed after at most this long.
    pub idle: Duration,
}

/// A mistake of whoever started the program.
#[derive(Debug, PartialEq, Eq)]
pub struct Invalid(String);

/// Reads the arguments after the program's name.
///
/// # Errors
/// For every argument but the two that are known.
pub fn request(mut arguments: impl Iterator<Item = String>) -> Result<Request, Invalid> {
    let request = match arguments.next().as_deref() {
        None => Request::Serve,
        Some("--help" | "-h") => Request::Help,
        Some("--version" | "-V") => Request::Version,
        Some(other) => return Err(unknown(other)),
    };
    arguments
        .next()
        .map_or(Ok(request), |other| Err(unknown(&other)))
}

fn unknown(argument: &str) -> Invalid {
    Invalid(format!("unknown argument '{argument}' (see --help)"))
}

impl Config {
    /// Reads the environment; an empty variable counts as one that is not set.
    ///
    /// # Errors
    /// For the first variable that cannot be read, without repeating what may be a password.
    pub fn from_environ(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, Invalid> {
        let text = |name: &str| match variable(name).map(OsString::into_string) {
            Some(Ok(text)) if !text.is_empty() => Ok(Some(text)),
            Some(Err(_)) => Err(Invalid(format!("{name} is not UTF-8 text"))),
            _ => Ok(None),
        };
        let url = text("DATABASE_URL")?;
        let database = Options::from_str(url.as_deref().unwrap_or(DEFAULT_DATABASE))
            .map_err(|error| Invalid(format!("DATABASE_URL: {error}")))?;
        if database.database.is_none() {
            return Err(Invalid("DATABASE_URL: a database name is required".into()));
        }
        let port = number("PORT", text("PORT")?, DEFAULT_PORT)?;
        let idle = number("IDLE_TIMEOUT", text("IDLE_TIMEOUT")?, DEFAULT_IDLE)?;
        Ok(Self {
            database,
            port,
            idle: Duration::from_secs(idle.into()),
        })
    }
}

fn number<T>(name: &str, text: Option<String>, default: T) -> Result<T, Invalid>
where
    T: FromStr + Default + PartialEq,
{
    let Some(text) = text else {
        return Ok(default);
    };
    match text.parse() {
        Ok(number) if number != T::default() => Ok(number),
        _ => Err(Invalid(format!(
            "{name}: '{text}' is not a positive number in range"
        ))),
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(variables: &[(&str, &str)]) -> Result<Config, Invalid> {
        Config::from_environ(|name| {
            variables
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| value.into())
        })
    }

    fn asked(arguments: &[&str]) -> Result<Request, Invalid> {
        request(arguments.iter().map(|&argument| argument.to_owned()))
    }

    #[test]
    fn the_defaults_are_those_of_the_published_demo() {
        let config = config(&[("PORT", "")]).unwrap();
        assert_eq!(config.database, DEFAULT_DATABASE.parse().unwrap());
        assert_eq!((config.port, config.idle), (8080, Duration::from_secs(60)));
    }

    #[test]
    fn mistakes_are_named() {
        for (variable, reason) in [
            (
                ("DATABASE_URL", "http://db"),
                "DATABASE_URL: it must start with mysql://",
            ),
            (
                ("DATABASE_URL", "mysql://db"),
                "DATABASE_URL: a database name is required",
            ),
            (("PORT", "0"), "PORT: '0' is not a positive number in range"),
            (
                ("PORT", "65536"),
                "PORT: '65536' is not a positive number in range",
            ),
            (
                ("IDLE_TIMEOUT", "soon"),
                "IDLE_TIMEOUT: 'soon' is not a positive number in range",
            ),
        ] {
            assert_eq!(config(&[variable]).unwrap_err().to_string(), reason);
        }
    }

    #[test]
    fn arguments_are_few() {
        assert_eq!(asked(&[]), Ok(Request::Serve));
        assert_eq!(asked(&["--version"]), Ok(Request::Version));
        assert_eq!(asked(&["-h"]), Ok(Request::Help));
        for (wrong, arguments) in [("--port", &["--port"][..]), ("x", &["--help", "x"])] {
            let reason = asked(arguments).unwrap_err().to_string();
            assert_eq!(reason, format!("unknown argument '{wrong}' (see --help)"));
        }
    }
}
