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
            "Crossfade demo: everything listens on loopback, Ctrl-C ends all.

  router       http://{router}      clients go here
  admin        http://{admin}      open it in a browser: status, API, /metrics
  token        {token}
  TypeScript   http://{legacy}     the legacy sample system
  Python       http://{new}     the new sample system
  file         {file}
  load         {load}

Try next, in a second terminal:

  export CROSSFADE_ADMIN=http://{admin} CROSSFADE_TOKEN={token}

  curl -i http://{router}/api/sessions/42 -H 'x-user-id: user-7'       # which side? see Crossfade-Side
  {program} status
  {program} rollout sessions 50 --reason 'half of the users'
  {program} explain sessions --key user-7
  {program} pin sessions user-7 new --reason 'a tester'

  curl -N http://{router}/events                                         # an event a second
  curl http://{control}/fault -d '{{\"mode\":\"fail\"}}'                     # Python fails: none | fail | slow | refuse
  {program} rollback sessions --reason 'Python fails'
  curl http://{control}/fault -d '{{\"mode\":\"none\"}}'
  {program} acknowledge sessions --to legacy_only --reason 'understood and mended'
  {program} mode sessions gradual --reason 'again'
  {program} history sessions
  touch {kill_file}                      # the way out without the admin side; rm ends it
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
        let name = |binary: &str| program_name(Path::new(binary), Path::new("/home/u/crossfade"));
        assert_eq!(name("/home/u/crossfade/target/release/crossfade"), "./target/release/crossfade");
        assert_eq!(name("/usr/bin/crossfade"), "/usr/bin/crossfade");
    }
}
