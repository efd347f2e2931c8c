//! Parts of a file that a client asks for (RFC 9110 section 14).

/// More parts than this are answered by the whole file: nobody needs them, and
/// they make a small request expensive.
const MAX_PARTS: usize = 16;

/// Bytes of a file: the first and one behind the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

impl Part {
    pub(crate) fn len(self) -> u64 {
        self.end - self.start
    }

    /// The value of Content-Range for a file of `size` bytes.
    pub(crate) fn content_range(self, size: u64) -> String {
        format!("bytes {}-{}/{size}", self.start, self.end - 1)
    }
}

/// What a Range header asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// There is no range, or one that has to be ignored.
    Whole,
    /// At least one part, each within the file.
    Parts(Vec<Part>),
    /// Only parts beyond the file's end.
    Unsatisfiable,
}

/// Reads a Range header for a file of `size` bytes.
pub(crate) fn parse(header: &str, size: u64) -> Wanted {
    let Some((unit, set)) = header.split_once('=') else {
        return Wanted::Whole;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Wanted::Whole;
    }
    let mut parts = Vec::new();
    let mut count = 0;
    for spec in set
        .split(',')
        .map(str::trim)
        .filter(|spec| !spec.is_empty())
    {
        count += 1;
        match Spec::parse(spec, size) {
            Spec::Within(part) => parts.push(part),
            Spec::Beyond => {}
            Spec::Malformed => return Wanted::Whole,
        }
    }
    let total: u64 = parts.iter().map(|part| part.len()).sum();
    match parts.len() {
        _ if count == 0 || count > MAX_PARTS => Wanted::Whole,
        0 => Wanted::Unsatisfiable,
        1 => Wanted::Parts(parts),
        // Overlapping parts would be more than the file itself.
        _ if total >= size => Wanted::Whole,
        _ => Wanted::Parts(parts),
    }
}

/// One part as it was asked for.
enum Spec {
    Within(Part),
    Beyond,
    Malformed,
}

impl Spec {
    fn parse(spec: &str, size: u64) -> Self {
        match Self::bounds(spec, size) {
            None => Self::Malformed,
            Some((start, end)) if start < end.min(size) => Self::Within(Part {
                start,
                end: end.min(size),
            }),
            Some(_) => Self::Beyond,
        }
    }

    /// The first byte and one behind the last, not yet cut to the file.
    fn bounds(spec: &str, size: u64) -> Option<(u64, u64)> {
        match spec.split_once('-')? {
            ("", suffix) => Some((size.saturating_sub(number(suffix)?), size)),
            (first, "") => Some((number(first)?, u64::MAX)),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some((first, last.saturating_add(1)))
            }
        }
    }
}

/// A decimal number; one that is too large is beyond every file's end anyway.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::{Part, Wanted, parse};

    #[track_caller]
    fn are(header: &str, expected: &[(u64, u64)]) {
        let parts = expected.iter().map(|&(start, end)| Part { start, end });
        assert_eq!(
            parse(header, 100),
            Wanted::Parts(parts.collect()),
            "{header}"
        );
    }

    #[test]
    fn parts_of_a_hundred_bytes() {
        are("bytes=0-0", &[(0, 1)]);
        are("bytes=0-99", &[(0, 100)]);
        are("bytes=90-", &[(90, 100)]);
        are("bytes=90-1000", &[(90, 100)]);
        are("bytes=-10", &[(90, 100)]);
        are("bytes=-1000", &[(0, 100)]);
        are("Bytes = 1-2 , 4-5,", &[(1, 3), (4, 6)]);
        are("bytes=200-300, 5-6", &[(5, 7)]);
        are("bytes=5-99999999999999999999999", &[(5, 100)]);
    }

    #[test]
    fn parts_beyond_the_end_cannot_be_had() {
        for header in ["bytes=100-", "bytes=100-200", "bytes=-0", "bytes=100-,200-"] {
            assert_eq!(parse(header, 100), Wanted::Unsatisfiable, "{header}");
        }
        assert_eq!(parse("bytes=0-", 0), Wanted::Unsatisfiable);
        assert_eq!(parse("bytes=-5", 0), Wanted::Unsatisfiable);
    }

    #[test]
    fn what_is_malformed_or_greedy_is_ignored() {
        for header in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "lines=0-1",
            "bytes=a-b",
            "bytes=5",
            "bytes=-",
            "bytes=5-4",
            "bytes=+1-2",
            "bytes=1-2;3-4",
            "bytes=0-60,40-99",
            "bytes=1--2",
        ] {
            assert_eq!(parse(header, 100), Wanted::Whole, "{header}");
        }
        let many = format!("bytes={}", "0-0,".repeat(17));
        assert_eq!(parse(&many, 100), Wanted::Whole);
    }
}
