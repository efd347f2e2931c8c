//! From the path of a request to a path below the served folder.

/// Decodes and normalizes a request's path: no empty, `.` or `..` parts are
/// left, and the result is relative and never leads out.
///
/// None for what names no file: broken escapes, NUL, text that is not UTF-8,
/// more `..` than folders.
pub(crate) fn relative(path: &str) -> Option<String> {
    let decoded = String::from_utf8(decode(path)?).ok()?;
    if !decoded.starts_with('/') || decoded.contains('\0') {
        return None;
    }
    let mut parts = Vec::new();
    for part in decoded.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

fn decode(path: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => digit(bytes.next()?)? << 4 | digit(bytes.next()?)?,
            byte => byte,
        });
    }
    Some(decoded)
}

fn digit(byte: u8) -> Option<u8> {
    let value = char::from(byte).to_digit(16)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::relative;

    #[track_caller]
    fn is(path: &str, expected: Option<&str>) {
        assert_eq!(relative(path).as_deref(), expected, "{path}");
    }

    #[test]
    fn plain_and_escaped_paths() {
        is("/", Some(""));
        is("/a/b.html", Some("a/b.html"));
        is("//a/./b//", Some("a/b"));
        is("/a%20b/%C3%BC+%2b", Some("a b/ü++"));
        is("/a%2Fb", Some("a/b"));
        is("/...", Some("..."));
    }

    #[test]
    fn nothing_leads_out() {
        is("/a/../b", Some("b"));
        is("/a/b/../..", Some(""));
        for path in [
            "/..",
            "/../etc/passwd",
            "/a/../../etc",
            "/%2e%2e/etc",
            "/a/%2E./%2e%2E/x",
            "/..%2fetc",
            "/.%2e/",
        ] {
            is(path, None);
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for path in ["", "*", "a", "/%", "/%4", "/%zz", "/%+1", "/a%00b", "/%ff"] {
            is(path, None);
        }
    }

    /// Every short path over the letters that matter stays inside.
    #[test]
    fn no_combination_leads_out() {
        let letters = ["/", ".", "a", "%2e", "%2F"];
        let mut paths = vec![String::from("/")];
        for _ in 0..6 {
            let longer = paths
                .iter()
                .flat_map(|path| letters.iter().map(move |letter| format!("{path}{letter}")));
            paths = longer.collect();
            for path in &paths {
                let Some(inside) = relative(path) else {
                    continue;
                };
                let parts = inside.split('/');
                assert!(!inside.starts_with('/'), "{path}");
                assert!(
                    parts.clone().all(|part| part != ".." && part != "."),
                    "{path}"
                );
                assert!(inside.is_empty() || parts.clone().all(|part| !part.is_empty()));
            }
        }
    }
}
