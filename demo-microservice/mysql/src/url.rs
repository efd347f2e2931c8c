//! `mysql://user:password@host:port/database`, read into [`Options`].

use std::{error, fmt, str::FromStr};

const DEFAULT_PORT: u16 = 3306;

/// Where a database is, and as whom to log in.
#[derive(Clone, PartialEq, Eq)]
pub struct Options {
    /// A name or an address; IPv6 addresses without their brackets.
    pub host: String,
    /// 3306 unless the URL says otherwise.
    pub port: u16,
    /// `root` unless the URL says otherwise.
    pub user: String,
    /// Empty for none.
    pub password: String,
    /// The database to work in, `None` for none.
    pub database: Option<String>,
    /// Whether to ask the server for its RSA key when it wants the whole password over a stream
    /// that is not encrypted. Whoever can alter the traffic can then learn the password.
    pub fetch_public_key: bool,
    /// The longest answer taken, in bytes.
    pub max_payload: usize,
}

/// Why a text is no database URL.
///
/// The message never repeats the URL itself: it holds a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlError(String);

impl FromStr for Options {
    type Err = UrlError;

    fn from_str(url: &str) -> Result<Self, UrlError> {
        let rest = url
            .strip_prefix("mysql://")
            .ok_or_else(|| UrlError("it must start with mysql://".into()))?;
        if rest.contains('#') {
            return fail("a '#' must be written as %23");
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        // A raw '@' in a password is a common slip that has only one reading.
        let (login, place) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let (host, port) = host_and_port(place)?;
        if let Some(parameter) = query.split('&').find(|parameter| !parameter.is_empty()) {
            let name = parameter.split('=').next().unwrap_or_default();
            return fail(&format!("the parameter '{name}' is not known"));
        }
        if path.contains('/') {
            return fail("only one '/' may follow the host; write others as %2F");
        }
        let database = decoded(path, "database")?;
        Ok(Self {
            host,
            port,
            user: if user.is_empty() {
                "root".into()
            } else {
                decoded(user, "user")?
            },
            password: decoded(password, "password")?,
            database: (!database.is_empty()).then_some(database),
            fetch_public_key: true,
            max_payload: 64 << 20,
        })
    }
}

fn host_and_port(place: &str) -> Result<(String, u16), UrlError> {
    let (host, port) = if let Some(rest) = place.strip_prefix('[') {
        let (host, rest) = rest
            .split_once(']')
            .ok_or_else(|| UrlError("the host lacks its ']'".into()))?;
        match rest.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if rest.is_empty() => (host, None),
            None => return fail("only ':' and a port may follow ']'"),
        }
    } else {
        match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        }
    };
    let port = match port {
        None => DEFAULT_PORT,
        Some(text) => match text.parse() {
            Ok(port) if port != 0 && text.bytes().all(|byte| byte.is_ascii_digit()) => port,
            _ => {
                return fail(&format!(
                    "the port '{text}' is not a number from 1 to 65535"
                ));
            }
        },
    };
    let host = decoded(host, "host")?;
    if host.is_empty() {
        return fail("it names no host");
    }
    if host.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return fail("the host holds a space or a control character");
    }
    Ok((host, port))
}

fn decoded(text: &str, part: &str) -> Result<String, UrlError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, tail @ ..] = rest {
        rest = tail;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        match tail {
            [high, low, tail @ ..] => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    bytes.push(high << 4 | low);
                    rest = tail;
                }
                _ => return fail(&format!("a '%' in the {part} lacks its two hex digits")),
            },
            _ => return fail(&format!("a '%' in the {part} lacks its two hex digits")),
        }
    }
    match String::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(text),
        _ => fail(&format!("the {part} is not UTF-8 text")),
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

fn fail<T>(reason: &str) -> Result<T, UrlError> {
    Err(UrlError(reason.to_owned()))
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("user", &self.user)
            .field("database", &self.database)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl error::Error for UrlError {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(url: &str) -> Options {
        url.parse().unwrap()
    }

    #[test]
    fn every_part_is_read() {
        let options = parsed("mysql://root:whalehello@db:3307/mysql");
        assert_eq!(options.host, "db");
        assert_eq!(options.port, 3307);
        assert_eq!(options.user, "root");
        assert_eq!(options.password, "whalehello");
        assert_eq!(options.database.as_deref(), Some("mysql"));
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let options = parsed("mysql://db");
        assert_eq!((options.port, options.user.as_str()), (3306, "root"));
        assert_eq!((options.password.as_str(), options.database), ("", None));
        assert_eq!(parsed("mysql://db/").database, None);
        assert_eq!(parsed("mysql://u@db/x").user, "u");
    }

    #[test]
    fn escapes_and_stray_at_signs_in_a_password() {
        assert_eq!(parsed("mysql://u:p%40%2f%25%C3%A9@h/d").password, "p@/%é");
        assert_eq!(parsed("mysql://u:p@ss:w@h/d").password, "p@ss:w");
    }

    #[test]
    fn ipv6_hosts_stand_in_brackets() {
        let options = parsed("mysql://u:p@[::1]:3310/d");
        assert_eq!((options.host.as_str(), options.port), ("::1", 3310));
        assert_eq!(parsed("mysql://[fe80::1]/d").port, 3306);
    }

    #[test]
    fn bad_urls_say_what_is_wrong() {
        for (url, reason) in [
            ("", "it must start with mysql://"),
            ("postgres://h/d", "it must start with mysql://"),
            ("mysql://", "it names no host"),
            ("mysql:///d", "it names no host"),
            (
                "mysql://h:0/d",
                "the port '0' is not a number from 1 to 65535",
            ),
            (
                "mysql://h:65536/d",
                "the port '65536' is not a number from 1 to 65535",
            ),
            (
                "mysql://h:+1/d",
                "the port '+1' is not a number from 1 to 65535",
            ),
            (
                "mysql://h:/d",
                "the port '' is not a number from 1 to 65535",
            ),
            (
                "mysql://u:%4@h/d",
                "a '%' in the password lacks its two hex digits",
            ),
            (
                "mysql://u%zz@h/d",
                "a '%' in the user lacks its two hex digits",
            ),
            ("mysql://u:%ff@h/d", "the password is not UTF-8 text"),
            ("mysql://h/d?ssl=1", "the parameter 'ssl' is not known"),
            (
                "mysql://h/d/e",
                "only one '/' may follow the host; write others as %2F",
            ),
            ("mysql://[::1/d", "the host lacks its ']'"),
            ("mysql://[::1]3306/d", "only ':' and a port may follow ']'"),
            (
                "mysql://a b/d",
                "the host holds a space or a control character",
            ),
            ("mysql://u:p#w@h/d", "a '#' must be written as %23"),
        ] {
            let error = url.parse::<Options>().unwrap_err();
            assert_eq!(error.to_string(), reason, "{url}");
        }
    }

    #[test]
    fn neither_debug_nor_errors_show_the_password() {
        assert!(!format!("{:?}", parsed("mysql://u:secret@h/d")).contains("secret"));
        let error = "mysql://u:secret@h:x/d".parse::<Options>().unwrap_err();
        assert!(!error.to_string().contains("secret"));
    }

    proptest! {
        #[test]
        fn any_escaped_login_comes_back(user in "\\PC{1,20}", password in "\\PC{0,20}") {
            let escape = |text: &str| -> String {
                text.bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat()
            };
            let url = format!("mysql://{}:{}@h/d", escape(&user), escape(&password));
            let options: Options = url.parse().unwrap();
            prop_assert_eq!(options.user, user);
            prop_assert_eq!(options.password, password);
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = text.parse::<Options>();
            let _ = format!("mysql://{text}").parse::<Options>();
        }
    }
}
