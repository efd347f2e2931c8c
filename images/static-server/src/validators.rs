//! Whether a client's copy of a file is still good (RFC 9110 section 13).

use std::time::{Duration, SystemTime};

use hyper::HeaderMap;
use hyper::header::{HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE};

/// What tells one version of a file from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Validators {
    pub(crate) etag: String,
    /// As a header's value; none if the file's time says nothing.
    pub(crate) last_modified: Option<String>,
    seconds: Option<u64>,
}

impl Validators {
    /// For a file with a time, `age` after 1970.
    pub(crate) fn by_time(modified: SystemTime, age: Duration, size: u64) -> Self {
        Self {
            etag: format!("\"{:x}-{size:x}\"", age.as_nanos()),
            last_modified: Some(httpdate::fmt_http_date(modified)),
            seconds: Some(age.as_secs()),
        }
    }

    /// For a file known by its content.
    pub(crate) fn by_content(hash: u64, size: u64) -> Self {
        Self {
            etag: format!("\"h{hash:016x}-{size:x}\""),
            last_modified: None,
            seconds: None,
        }
    }

    /// Whether the client has this version already.
    pub(crate) fn is_unchanged(&self, headers: &HeaderMap) -> bool {
        if headers.contains_key(IF_NONE_MATCH) {
            let mut tags = headers
                .get_all(IF_NONE_MATCH)
                .iter()
                .filter_map(|value| value.to_str().ok())
                .flat_map(|value| value.split(','))
                .map(str::trim);
            return tags.any(|tag| tag == "*" || tag.trim_start_matches("W/") == self.etag);
        }
        let since = text(headers, IF_MODIFIED_SINCE).and_then(seconds);
        matches!((self.seconds, since), (Some(modified), Some(since)) if modified <= since)
    }

    /// Whether a range may be sent: the client has parts of this very version,
    /// or does not ask.
    pub(crate) fn allows_range(&self, headers: &HeaderMap) -> bool {
        if !headers.contains_key(IF_RANGE) {
            return true;
        }
        match text(headers, IF_RANGE) {
            Some(tag) if tag.starts_with('"') => tag == self.etag,
            Some(date) => self.last_modified.is_some() && seconds(date) == self.seconds,
            None => false,
        }
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

fn seconds(date: &str) -> Option<u64> {
    let time = httpdate::parse_http_date(date).ok()?;
    let age = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(age.as_secs())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use hyper::HeaderMap;
    use hyper::header::{HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE};

    use super::Validators;

    const TIME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
    const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";

    fn file() -> Validators {
        // Files have times between the seconds that headers can tell.
        let age = Duration::new(784_111_777, 500);
        Validators::by_time(SystemTime::UNIX_EPOCH + age, age, 16)
    }

    fn with(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn tags_are_compared_weakly_and_win_over_dates() {
        let tag = file().etag;
        for value in [
            &tag,
            "*",
            &format!("W/{tag}"),
            &format!("\"x\", {tag} ,\"y\""),
        ] {
            assert!(file().is_unchanged(&with(IF_NONE_MATCH, value)), "{value}");
        }
        let mut headers = with(IF_NONE_MATCH, "\"x\"");
        headers.insert(IF_MODIFIED_SINCE, TIME.parse().unwrap());
        assert!(!file().is_unchanged(&headers));
        assert!(!file().is_unchanged(&HeaderMap::new()));
    }

    #[test]
    fn dates_count_whole_seconds() {
        assert_eq!(file().last_modified.as_deref(), Some(TIME));
        assert!(file().is_unchanged(&with(IF_MODIFIED_SINCE, TIME)));
        assert!(file().is_unchanged(&with(IF_MODIFIED_SINCE, LATER)));
        assert!(!file().is_unchanged(&with(IF_MODIFIED_SINCE, EARLIER)));
        assert!(!file().is_unchanged(&with(IF_MODIFIED_SINCE, "yesterday")));
    }

    #[test]
    fn a_range_is_of_this_version_only() {
        assert!(file().allows_range(&HeaderMap::new()));
        assert!(file().allows_range(&with(IF_RANGE, &file().etag)));
        assert!(file().allows_range(&with(IF_RANGE, TIME)));
        for value in [LATER, EARLIER, "\"x\"", &format!("W/{}", file().etag), "x"] {
            assert!(!file().allows_range(&with(IF_RANGE, value)), "{value}");
        }
        let content = Validators::by_content(1, 16);
        assert!(!content.allows_range(&with(IF_RANGE, "x")));
        assert!(content.allows_range(&with(IF_RANGE, &content.etag)));
    }
}
