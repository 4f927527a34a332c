//! The demo's temporary folder and the configuration file in it.
//!
//! # Why a file
//!
//! The demo could build its configuration in memory. It writes a file and reads it back instead, so
//! that a newcomer can open what is running and copy from it.

use std::fs::DirBuilder;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// A folder only this user can read; removed with everything in it when this is dropped.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Fails where the folder is there already: somebody else could have made it.
    pub fn create() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("crossfade-demo-{}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn file(&self) -> PathBuf {
        self.0.join("crossfade.yaml")
    }

    pub fn kill_file(&self) -> PathBuf {
        self.0.join("kill")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nothing to do about a failure at the end of the process; the system cleans its temporary folder.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A port of loopback that was free a moment ago: the wanted one, else any.
pub fn free_port(wanted: u16) -> io::Result<u16> {
    let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    let listener = bind(wanted).or_else(|_| bind(0))?;
    Ok(listener.local_addr()?.port())
}

/// Where the parts of the demo are.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    pub listen: SocketAddr,
    pub admin: SocketAddr,
    pub legacy: SocketAddr,
    pub new: SocketAddr,
}

/// The configuration of the demo's router, as an operator would write it.
pub fn configuration(folder: &Folder, addresses: &Addresses) -> String {
    let Addresses { listen, admin, legacy, new } = addresses;
    let quoted = |path: PathBuf| serde_json::Value::from(path.display().to_string()).to_string();
    let (snapshot, store) =
        (quoted(folder.path().join("crossfade.snapshot")), quoted(folder.path().join("crossfade.redb")));
    let kill = quoted(folder.kill_file());
    format!(
        r#"# The configuration of this demo, written by `crossfade demo`.
environment: demo
snapshot: {snapshot}
kill_file: {kill}                # exists = everything to legacy
workers: 2
expose: true                     # responses tell the side and the reason
drain: {{delay: 0s, timeout: 2s}}
log: {{format: text, access: {{sample: 0%}}}}
listen:
  - address: {listen}
admin:
  address: {admin}
store:
  embedded: {store}
upstreams:
  typescript: {{endpoints: ["http://{legacy}"], health: {{path: /health, interval: 2s}}}}
  python: {{endpoints: ["http://{new}"], health: {{path: /health, interval: 2s}}}}
migrations:
  - id: sessions
    legacy: typescript
    new: python
    labels: {{legacy: TypeScript, new: Python}}
    key: ["header:x-user-id", "cookie:uid"]
    rules:
      - {{match: {{"header:x-group": [beta]}}, serve: new}}
    initial: {{mode: gradual, percent: 10}}
    default: true
routes:
  - {{migration: sessions, path: /api/**}}
  - {{migration: sessions, path: /ws}}
  - {{migration: sessions, path: /events}}
  - {{upstream: typescript, path: /health}}
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_not_chosen() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        assert_ne!(free_port(port).unwrap(), port);
        assert_ne!(free_port(0).unwrap(), 0);
    }
}
