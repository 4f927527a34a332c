//! The dashboard's files: one page for all paths, kept by browsers, and whole.

use std::fmt::Write as _;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::world::{World, request};

const PAGES: [&str; 8] =
    ["/", "/migrations/agents", "/explain", "/history", "/upstreams", "/replicas", "/access", "/migration/dashboard"];

fn ui() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("ui")
}

#[tokio::test]
async fn every_path_of_the_dashboard_is_the_same_page() {
    let world = World::new().await;
    let first = world.call("", "GET", "/", "").await;
    assert_eq!((first.status.as_u16(), first.header("content-type")), (200, "text/html; charset=utf-8"));
    for path in PAGES {
        assert_eq!(world.call("", "GET", path, "").await.text, first.text, "{path}");
    }
}

/// The policy of every answer forbids what is inline; a page that needed it would be dead.
#[tokio::test]
async fn nothing_is_inline_and_every_file_is_served() {
    let world = World::new().await;
    let page = world.call("", "GET", "/", "").await.text;
    for inline in ["<style", " style=", " onclick=", "javascript:", "<script>", "importmap"] {
        assert!(!page.contains(inline), "{inline} in the page");
    }
    let files: Vec<&str> = page.split(['"', '\'']).filter(|part| part.starts_with("/ui/")).collect();
    assert!(files.len() >= 3, "{files:?}");
    for file in files {
        assert_eq!(world.call("", "GET", file, "").await.status, 200, "{file}");
    }
}

#[tokio::test]
async fn a_file_that_a_browser_has_is_not_sent_again() {
    let world = World::new().await;
    let first = world.call("", "GET", "/ui/app.js", "").await;
    assert_eq!(
        (first.header("cache-control"), first.header("content-type")),
        ("no-cache", "text/javascript; charset=utf-8")
    );
    let again = request("", "GET", "/ui/app.js", "").header("if-none-match", first.header("etag"));
    let again = world.send(again.body(axum::body::Body::empty()).unwrap()).await;
    assert_eq!((again.status.as_u16(), again.text.as_str()), (304, ""));
}

/// What others wrote is what they wrote: a changed file is a change somebody must make on purpose.
#[test]
fn vendored_files_are_those_of_the_manifest() {
    let folder = ui().join("vendor");
    let manifest: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(folder.join("manifest.json")).unwrap()).unwrap();
    let files = manifest["files"].as_object().expect("the manifest has files");
    for entry in std::fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name == "manifest.json" {
            continue;
        }
        let bytes = std::fs::read(folder.join(&name)).unwrap();
        let hash = Sha256::digest(&bytes).iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        let known = files.get(&name).unwrap_or_else(|| panic!("{name} is not in the manifest"));
        assert_eq!(known["sha256"].as_str().or(known.as_str()), Some(hash.as_str()), "{name}");
    }
    for name in files.keys() {
        assert!(folder.join(name).exists(), "{name} is in the manifest and not there");
    }
}
