//! The page for people: files that are inside the binary.

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG};
use http::{HeaderMap, StatusCode};

use crate::failure::{Code, Failure};

/// What the page may load: its own files and nothing else.
const POLICY: &str = "default-src 'self'; img-src 'self' data:; style-src 'self'; script-src 'self'; connect-src 'self'; \
                      frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'";

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_bytes!(concat!("../../page/", $name)).as_slice())),*]
    };
}

/// Every file of the page, by name.
const FILES: &[(&str, &[u8])] = files![
    "api.js",
    "app.js",
    "bytes.js",
    "charts.js",
    "complete.js",
    "controls.css",
    "docs.css",
    "docs.html",
    "docs.js",
    "document.js",
    "dom.js",
    "explain.js",
    "filter.js",
    "heatmap.js",
    "hits.css",
    "hits.js",
    "icon.svg",
    "index.html",
    "inspector.js",
    "keys.js",
    "options.js",
    "schema.js",
    "search.css",
    "search.js",
    "side.js",
    "state.js",
    "status.js",
    "storage.js",
    "style.css",
    "theme-button.js",
    "theme.js",
    "trouble.js",
    "views.css",
];

/// The page.
pub(crate) async fn index(headers: HeaderMap) -> Response {
    file("index.html", &headers)
}

/// The reference of the interface.
pub(crate) async fn docs(headers: HeaderMap) -> Response {
    file("docs.html", &headers)
}

/// One of the page's files.
pub(crate) async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    file(&name, &headers)
}

fn file(name: &str, asked: &HeaderMap) -> Response {
    let Some((_, bytes)) = FILES.iter().find(|(known, _)| *known == name) else {
        return Failure::new(Code::NotFound, "the page has no such file").into_response();
    };
    let kind = match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    };
    let tag = format!("\"{}\"", &blake3::hash(bytes).to_hex()[..16]);
    let known = asked.get(http::header::IF_NONE_MATCH).and_then(|known| known.to_str().ok());
    // Asked again each time, and answered in a line while it is the same.
    let headers =
        [(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-cache"), (CONTENT_SECURITY_POLICY, POLICY), (ETAG, tag.as_str())];
    if known.is_some_and(|known| known.split(',').any(|known| known.trim() == tag)) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, *bytes).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use super::*;

    #[test]
    fn every_file_of_the_page_is_inside() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/page");
        let there: BTreeSet<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        let inside: BTreeSet<String> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(inside, there);
    }

    #[test]
    fn nothing_comes_from_elsewhere() {
        for (name, bytes) in FILES {
            let text = String::from_utf8_lossy(bytes);
            let foreign = text.match_indices("http").find(|(at, _)| {
                let rest = &text[*at..];
                let is_address = rest.starts_with("http://") || rest.starts_with("https://");
                is_address && !rest.starts_with("http://www.w3.org/")
            });
            assert!(
                foreign.is_none(),
                "{name}: {:?}",
                foreign.map(|(at, _)| text[at..].chars().take(60).collect::<String>())
            );
        }
    }
}
