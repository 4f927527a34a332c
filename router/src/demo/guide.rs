//! What the demo prints at its start: addresses, token, and commands to copy.

use std::net::SocketAddr;
use std::path::Path;

/// Everything the text names.
#[derive(Clone, Copy, Debug)]
pub struct Guide<'a> {
    /// The binary as a shell finds it from here.
    pub program: &'a str,
    pub file: &'a Path,
    pub kill_file: &'a Path,
    pub router: SocketAddr,
    pub admin: SocketAddr,
    pub token: &'a str,
    pub legacy: SocketAddr,
    pub new: SocketAddr,
    pub control: SocketAddr,
    pub with_load: bool,
}

impl Guide<'_> {
    pub fn text(&self) -> String {
        let Self { program, file, kill_file, router, admin, token, legacy, new, control, with_load } = self;
        let (file, kill_file) = (file.display(), kill_file.display());
        let load = if *with_load { "about 20 requests a second of 200 users" } else { "none (--no-load)" };
        format!(
            "Crossfade demo. Everything listens on loopback, Ctrl-C ends all.

  router       http://{router}   clients go here
  dashboard    http://{admin}/#token={token}
  admin        http://{admin}   API, /metrics
  token        {token}
  TypeScript   http://{legacy}   the legacy sample system
  Python       http://{new}   the new sample system
  file         {file}
  load         {load}

Try next, in a second terminal in this directory:

  export CROSSFADE_ADMIN=http://{admin}
  export CROSSFADE_TOKEN={token}

  # Which side serves this user, and why? See Crossfade-Side and Crossfade-Reason.
  curl -i http://{router}/api/sessions/42 -H 'x-user-id: user-7'
  {program} explain sessions --key user-7

  # Move traffic.
  {program} status
  {program} rollout sessions 50 --reason 'half of the users'
  {program} pin sessions user-7 new --reason 'a tester'

  # Python fails (none, fail, slow or refuse). No caller notices, because TypeScript answers: see Crossfade-Fallback. And
  # within seconds the guard rolls back by itself. See what it saw, mend it, go on.
  curl http://{control}/fault -d '{{\"mode\":\"fail\"}}'
  {program} status sessions
  {program} history sessions
  curl http://{control}/fault -d '{{\"mode\":\"none\"}}'
  {program} acknowledge sessions --to legacy_only --reason 'understood and mended'
  {program} rollout sessions 1 --reason 'carefully'
  {program} mode sessions gradual --reason 'again'

  # An event a second; a WebSocket echo is at /ws.
  curl -N http://{router}/events

  # The way out without the admin side; rm ends it.
  touch {kill_file}
"
        )
    }
}

/// How a shell started from here finds this binary: relative where it is below, absolute otherwise.
pub fn program_name(binary: &Path, here: &Path) -> String {
    match binary.strip_prefix(here) {
        Ok(below) => format!("./{}", below.display()),
        Err(_) => binary.display().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binary_below_here_is_named_relatively() {
        let name = |binary: &str| program_name(Path::new(binary), Path::new("/srv/crossfade"));
        assert_eq!(name("/srv/crossfade/target/release/crossfade"), "./target/release/crossfade");
        assert_eq!(name("/usr/bin/crossfade"), "/usr/bin/crossfade");
    }
}
