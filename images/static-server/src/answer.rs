//! From a request to its answer.

use std::io;

use hyper::header::{
    ACCEPT_RANGES, ALLOW, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderValue,
    LAST_MODIFIED, LOCATION, RANGE, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Uri};

use crate::body::{FileBody, Piece};
use crate::range::{self, Part, Wanted};
use crate::site::{Entry, Found, Site};
use crate::{mime, path};

/// Stands between parts; a random one is only needed by what could contain it
/// by chance, and a file that has it can still be told apart by its lengths.
const BOUNDARY: &str = "5b1c7e9d2f8a4063";

/// Answers a request; what goes wrong is logged and answered as well.
pub(crate) fn answer<B>(site: &Site, request: &Request<B>) -> Response<FileBody> {
    let mut response = match *request.method() {
        Method::GET | Method::HEAD => find(site, request).unwrap_or_else(|error| {
            eprintln!("static-server: {}: {error}", request.uri().path());
            plain(StatusCode::INTERNAL_SERVER_ERROR)
        }),
        _ => {
            let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED);
            let allowed = HeaderValue::from_static("GET, HEAD");
            refused.headers_mut().insert(ALLOW, allowed);
            refused
        }
    };
    let nosniff = HeaderValue::from_static("nosniff");
    response
        .headers_mut()
        .insert(X_CONTENT_TYPE_OPTIONS, nosniff);
    response
}

/// A short answer in words.
fn plain(status: StatusCode) -> Response<FileBody> {
    let mut response = Response::new(FileBody::text(format!("{status}\n")));
    *response.status_mut() = status;
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, text);
    response
}

fn find<B>(site: &Site, request: &Request<B>) -> io::Result<Response<FileBody>> {
    let uri = request.uri();
    let Some(relative) = path::relative(uri.path()) else {
        return Ok(plain(StatusCode::BAD_REQUEST));
    };
    match site.find(&relative, is_folder(uri.path()))? {
        Found::Missing => Ok(plain(StatusCode::NOT_FOUND)),
        Found::Forbidden => Ok(plain(StatusCode::FORBIDDEN)),
        Found::Folder => moved(uri),
        Found::File(entry) => file(entry, request),
    }
}

/// Whether a path ends as only a folder's can.
fn is_folder(path: &str) -> bool {
    matches!(path.rsplit('/').next(), Some("" | "." | ".."))
}

/// Sends the client to the folder's own name, for relative links to work.
fn moved(uri: &Uri) -> io::Result<Response<FileBody>> {
    // Two slashes in front would name another host.
    let path = uri.path().trim_start_matches('/');
    let query = uri
        .query()
        .map_or(String::new(), |query| format!("?{query}"));
    let location = format!("/{path}/{query}");
    let mut response = plain(StatusCode::MOVED_PERMANENTLY);
    response.headers_mut().insert(LOCATION, value(&location)?);
    Ok(response)
}

fn file<B>(entry: Entry, request: &Request<B>) -> io::Result<Response<FileBody>> {
    let asked = request.headers();
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(ETAG, value(&entry.validators.etag)?);
    if let Some(date) = &entry.validators.last_modified {
        headers.insert(LAST_MODIFIED, value(date)?);
    }
    if entry.validators.is_unchanged(asked) {
        return Ok(response(
            StatusCode::NOT_MODIFIED,
            headers,
            FileBody::default(),
        ));
    }
    let kind = mime::of(&entry.path);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    if request.method() == Method::HEAD {
        // Ranges are for GET alone (RFC 9110 section 14.2).
        headers.insert(CONTENT_LENGTH, entry.size.into());
        return Ok(response(StatusCode::OK, headers, FileBody::default()));
    }
    match wanted(&entry, asked) {
        Wanted::Whole => {
            let whole = Part {
                start: 0,
                end: entry.size,
            };
            let pieces = (entry.size > 0).then_some(Piece::Part(whole));
            let body = FileBody::of_file(entry.file, pieces);
            Ok(response(StatusCode::OK, headers, body))
        }
        Wanted::Unsatisfiable => {
            let mut refused = plain(StatusCode::RANGE_NOT_SATISFIABLE);
            let size = value(&format!("bytes */{}", entry.size))?;
            refused.headers_mut().insert(CONTENT_RANGE, size);
            Ok(refused)
        }
        Wanted::Parts(parts) => partial(entry, &parts, headers),
    }
}

fn wanted(entry: &Entry, asked: &HeaderMap) -> Wanted {
    match asked.get(RANGE).map(HeaderValue::to_str) {
        Some(Ok(range)) if entry.validators.allows_range(asked) => range::parse(range, entry.size),
        _ => Wanted::Whole,
    }
}

fn partial(entry: Entry, parts: &[Part], mut headers: HeaderMap) -> io::Result<Response<FileBody>> {
    let body = if let [part] = parts {
        headers.insert(CONTENT_RANGE, value(&part.content_range(entry.size))?);
        FileBody::of_file(entry.file, [Piece::Part(*part)])
    } else {
        let kind = format!("multipart/byteranges; boundary={BOUNDARY}");
        headers.insert(CONTENT_TYPE, value(&kind)?);
        let pieces = multipart(&entry, parts);
        FileBody::of_file(entry.file, pieces)
    };
    Ok(response(StatusCode::PARTIAL_CONTENT, headers, body))
}

/// RFC 9110 section 14.6.
fn multipart(entry: &Entry, parts: &[Part]) -> Vec<Piece> {
    let kind = mime::of(&entry.path);
    let mut pieces = Vec::with_capacity(2 * parts.len() + 1);
    for part in parts {
        let range = part.content_range(entry.size);
        let head =
            format!("\r\n--{BOUNDARY}\r\nContent-Type: {kind}\r\nContent-Range: {range}\r\n\r\n");
        pieces.push(Piece::Text(head.into()));
        pieces.push(Piece::Part(*part));
    }
    pieces.push(Piece::Text(format!("\r\n--{BOUNDARY}--\r\n").into()));
    pieces
}

fn response(status: StatusCode, headers: HeaderMap, body: FileBody) -> Response<FileBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn value(text: &str) -> io::Result<HeaderValue> {
    text.parse().map_err(io::Error::other)
}
