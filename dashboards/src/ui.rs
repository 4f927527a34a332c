//! The dashboard's files, from the binary.
//!
//! # Why one page for many paths
//!
//! Each path of the dashboard answers with the same page; its script reads the path and shows what belongs there. So a
//! link to a migration can be sent around, and reloading stays where one was. What the page shows it asks of the API, with
//! the rights of whoever signed in; the files themselves tell nothing and need no token. Only to a browser that shows its session
//! does the page bring along what it would ask for first, in a script of data, which nothing runs; such a page is kept nowhere.
//!
//! A file is kept by browsers and asked for again with its hash, so that a new release shows at once and an unchanged one
//! costs a line.
//!
//! Not here: who is signed in (`session`), and what is shown.

mod light;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, LINK, VARY};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use rust_embed::RustEmbed;
use serde_json::json;

use crate::Shared;
use crate::api::request::{Identity, PathPart, has_copy};
use crate::api::session::{SignInView, WhoView};
use crate::auth::digest;
use crate::live::Live;
use crate::problem::{Code, Problem};
use crate::session::{Session, hex};
use crate::story;

/// In debug builds read from the source folder, so that a page can be worked on without compiling.
#[derive(RustEmbed)]
#[folder = "ui/"]
struct Files;

const PAGE: &str = "index.html";

/// Paths that are pages. What the script does not know beyond them it says itself.
const PAGES: [&str; 8] =
    ["/", "/migrations/{id}/mismatches", "/issues", "/explain", "/history", "/upstreams", "/replicas", "/access"];

/// What a migration's page needs beside what the page itself names. Told in a field, so that a browser asks for all of it at once
/// and not for one after the other as they name each other.
const OF_MIGRATION: &str = concat!(
    "</ui/pages/migration.js>; rel=modulepreload, </ui/lib/entries.js>; rel=modulepreload, ",
    "</ui/lib/loaded.js>; rel=modulepreload, </ui/pages/migration/evidence.js>; rel=modulepreload, ",
    "</ui/pages/migration/measures.js>; rel=modulepreload, </ui/pages/migration/pins.js>; rel=modulepreload, ",
    "</ui/pages/migration/position.js>; rel=modulepreload, </ui/pages/migration/series.js>; rel=modulepreload, ",
    "</ui/lib/chart.js>; rel=modulepreload",
);

pub(crate) fn router() -> Router<Shared> {
    let pages = PAGES.into_iter().fold(Router::new(), |router, path| router.route(path, get(page)));
    let pages = pages.route("/migrations/{id}", get(migration)).route("/migration/dashboard", get(dashboard));
    pages.route("/ui/{*path}", get(file))
}

async fn page(State(shared): State<Shared>, headers: HeaderMap) -> Result<Response, Problem> {
    let Some(session) = shared.sessions.of(&headers, Timestamp::now()) else { return answer(PAGE, &headers) };
    begun(&shared, session).await
}

async fn migration(state: State<Shared>, headers: HeaderMap) -> Result<Response, Problem> {
    Ok(([(LINK, OF_MIGRATION)], page(state, headers).await?).into_response())
}

/// The story's page, which lands on its migration.
async fn dashboard(State(shared): State<Shared>, headers: HeaderMap) -> Result<Response, Problem> {
    story::default(&shared)?;
    migration(State(shared), headers).await
}

/// The page with who is signed in and where things stand: what it would ask for before it could show anything.
async fn begun(shared: &Shared, session: Session) -> Result<Response, Problem> {
    let page = Files::get(PAGE).ok_or_else(missing)?;
    let page = String::from_utf8_lossy(&page.data);
    let begin = json!({
        "session": WhoView::of(Identity::of(session)),
        "door": SignInView::of(shared),
        "state": Live::at_first(shared).await,
    });
    // Within a script a text may hold anything but its end.
    let begin = begin.to_string().replace('<', "\\u003c");
    let (before, behind) = page.rsplit_once("</body>").unwrap_or((&page, ""));
    let page = format!("{before}<script id=\"begin\" type=\"application/json\">{begin}</script>\n</body>{behind}");
    Ok(([(CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response())
}

async fn file(PathPart(path): PathPart<String>, headers: HeaderMap) -> Result<Response, Problem> {
    answer(&path, &headers)
}

fn answer(path: &str, headers: &HeaderMap) -> Result<Response, Problem> {
    let (sent, kind) = sent(path).zip(content_type(path)).ok_or_else(missing)?;
    // Kept, and asked for again each time; weak, because it is sent both compressed and plain.
    let kept =
        [(CACHE_CONTROL, "no-cache".to_owned()), (ETAG, format!("W/{}", sent.tag)), (VARY, "accept-encoding".into())];
    if has_copy(headers, &sent.tag) {
        return Ok((StatusCode::NOT_MODIFIED, kept).into_response());
    }
    let kind = [(CONTENT_TYPE, kind)];
    if takes_gzip(headers) {
        return Ok((kept, kind, [(CONTENT_ENCODING, "gzip")], sent.packed).into_response());
    }
    Ok((kept, kind, sent.plain).into_response())
}

/// A file as it is sent.
#[derive(Clone)]
struct Sent {
    plain: Bytes,
    packed: Bytes,
    /// Of what is sent, so that another release that sends the same source otherwise is not taken for this one.
    tag: String,
}

impl Sent {
    fn new(path: &str, data: &[u8]) -> Self {
        let text = std::str::from_utf8(data).ok().filter(|_| !path.starts_with("vendor/"));
        let plain = match (text, path.rsplit_once('.')) {
            (Some(text), Some((_, "js"))) => light::script(text).into_bytes(),
            (Some(text), Some((_, "css"))) => light::style(text).into_bytes(),
            _ => data.to_vec(),
        };
        let mut packer = GzEncoder::new(Vec::new(), Compression::best());
        // Memory takes whatever is written to it.
        let packed = packer.write_all(&plain).and_then(|()| packer.finish()).unwrap_or_default();
        let tag = format!("\"{}\"", hex(&digest(&plain)[..16]));
        Self { plain: plain.into(), packed: packed.into(), tag }
    }
}

/// A file, made light and packed once in a process: a page asks for thirty at once.
fn sent(path: &str) -> Option<Sent> {
    static MADE: Mutex<BTreeMap<String, Sent>> = Mutex::new(BTreeMap::new());
    let make = || Some(Sent::new(path, &Files::get(path)?.data));
    if cfg!(debug_assertions) {
        return make();
    }
    let made = || MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = made().get(path) {
        return Some(known.clone());
    }
    // As many as there are files, and no more: what is none is not kept.
    let sent = make()?;
    made().insert(path.to_owned(), sent.clone());
    Some(sent)
}

/// Whether a caller names gzip and does not rule it out.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let fields = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    fields.flat_map(|text| text.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let is_none = weight.trim().strip_prefix("q=").is_some_and(|own| own.trim_matches(['0', '.']).is_empty());
        name.trim().eq_ignore_ascii_case("gzip") && !is_none
    })
}

fn missing() -> Problem {
    Problem::new(Code::NotFound, "there is no such file in this version: open / for the dashboard")
}

/// Of what is served at all; anything else in the folder is not for browsers.
fn content_type(path: &str) -> Option<&'static str> {
    let (_, ending) = path.rsplit_once('.')?;
    Some(match ending {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "txt" => "text/plain; charset=utf-8",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Modules that a module names, and those that they name, without those that come when they are asked for.
    fn named_by(path: &str, found: &mut BTreeSet<String>) {
        if !found.insert(path.to_owned()) {
            return;
        }
        let file = Files::get(path).unwrap();
        let script = std::str::from_utf8(&file.data).unwrap();
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        // Others' modules are in one line, without spaces.
        let named = script.lines().filter(|line| line.starts_with("import") || line.starts_with("export"));
        let named = named.flat_map(|line| line.split("from").skip(1).map(str::trim_start));
        let imports = named.filter_map(|rest| Some(rest.strip_prefix('"')?.split_once('"')?.0));
        for other in imports.filter(|other| other.starts_with('.')) {
            let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
            for part in other.split('/') {
                match part {
                    "." => {}
                    ".." => drop(parts.pop()),
                    name => parts.push(name),
                }
            }
            named_by(&parts.join("/"), found);
        }
    }

    /// One that is forgotten costs a round trip before anything is seen.
    #[test]
    fn all_that_the_first_pages_need_is_asked_for_at_once() {
        let page = Files::get(PAGE).unwrap();
        let page = std::str::from_utf8(&page.data).unwrap();
        let told = |text: &str, begin: &str, end: &str| {
            let parts = text.split(begin).skip(1);
            parts.map(|rest| rest.split_once(end).unwrap().0.to_owned()).collect::<BTreeSet<String>>()
        };
        let mut of_page = told(page, "modulepreload\" href=\"/ui/", "\"");
        of_page.extend(told(page, "module\" src=\"/ui/", "\""));
        let mut needed = BTreeSet::new();
        ["app.js", "lib/emergency.js", "pages/overview.js"].into_iter().for_each(|path| named_by(path, &mut needed));
        assert_eq!(of_page, needed);
        let mut more = BTreeSet::new();
        named_by("pages/migration.js", &mut more);
        assert_eq!(told(OF_MIGRATION, "</ui/", ">"), &more - &needed);
    }

    #[test]
    fn gzip_goes_to_those_who_name_it() {
        for (field, expected) in [
            ("gzip", true),
            ("br, GZIP;q=0.5", true),
            ("deflate, gzip ; q=1.0, *;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip;q=0.0", false),
            ("gzip; q=0.000, br", false),
            ("br", false),
            ("xgzip", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, field.parse().unwrap())]);
            assert_eq!(takes_gzip(&headers), expected, "{field:?}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
        let sent = sent("app.js").unwrap();
        let mut plain = Vec::new();
        std::io::copy(&mut flate2::read::GzDecoder::new(&*sent.packed), &mut plain).unwrap();
        assert_eq!(plain, sent.plain);
    }

    #[test]
    fn only_what_browsers_need_is_served() {
        for (path, expected) in [("app.js", true), ("style.css", true), ("vendor/manifest.json", false), ("no", false)]
        {
            assert_eq!(content_type(path).is_some(), expected, "{path}");
        }
    }
}
