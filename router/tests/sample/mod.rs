//! The requests and the file that guards against decay measure with, shared by a test and a benchmark.

use std::path::Path;

use router::PurePath;
use router::config::Config;

pub(crate) const ROUTES: usize = 100;

/// What an API's server answers.
pub(crate) const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sat, 21 Nov 2026 04:00:00 GMT\r\n\
    Content-Type: application/json\r\nContent-Length: 512\r\nConnection: keep-alive\r\nCache-Control: no-store\r\n\r\n";

/// A worker with 100 routes of one migration, half of whose callers are new's.
pub(crate) fn pure_path() -> PurePath {
    let routes: String = (0..ROUTES).map(|n| format!("  - {{migration: bench, path: '/api/r{n}/{{id}}'}}\n")).collect();
    let file = format!(
        "log: {{access: {{sample: 0%}}}}\nupstreams:\n  old: {{endpoints: [http://127.0.0.1:1]}}\n  fresh: {{endpoints: \
         [http://127.0.0.1:2]}}\nmigrations:\n  - id: bench\n    legacy: old\n    new: fresh\n    key: \
         [header:x-user-id]\n    initial: {{mode: gradual, percent: 50}}\nroutes:\n{routes}"
    );
    let config = Config::parse_in("sample.yaml", &file, Path::new("/"), &|_| None).expect("the file is valid");
    PurePath::new(config).expect("a worker serves it")
}

/// One of 512 callers asks one of the routes, as a client of an API does.
pub(crate) fn request(number: usize) -> Vec<u8> {
    let (route, caller) = (number * 37 % ROUTES, number % 512);
    format!(
        "GET /api/r{route}/{caller}?page=2 HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: example-client/1.4\r\n\
         Accept: application/json\r\nAccept-Encoding: gzip, br\r\nX-User-Id: user-{caller}\r\nCookie: \
         session=0189f7eaae2c7809; theme=dark\r\nConnection: keep-alive\r\n\r\n"
    )
    .into_bytes()
}
