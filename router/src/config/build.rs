//! From what the file says to what the router runs with: defaults, references and every check.
//!
//! Each function mends what is missing with a default or a harmless stand-in and goes on, because
//! the result is thrown away where a single problem was found. That is what reports all of them at
//! once without a `Result` at every step.

mod fallback;
mod guard;
mod issues;
mod migrations;
mod mirror;
mod notify;
mod oidc;
mod parallel;
mod routes;
mod server;
mod store;
mod upstreams;

use std::net::SocketAddr;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::time::Duration;

use flags::Definitions;
use flags::snapshot::DefinitionError;

use super::errors::Problem;
use super::file::File;
use super::read::At;
use super::units::{Period, Size};
use super::{Config, Purpose, effective};

/// Files that hold one secret or one key set are not larger than this.
const SECRET_FILE_BYTES_MAX: u64 = 1 << 20;

/// Warnings beyond these are of the same kind.
const WARNINGS_MAX: usize = 100;

/// What all parts of building share.
pub(super) struct Building<'a> {
    base: &'a Path,
    purpose: Purpose,
    /// The text of the file, in which lines are counted.
    source: &'a str,
    pub(super) problems: Vec<Problem>,
    warnings: Vec<String>,
    without_effect: Vec<String>,
    /// Where the router itself listens for traffic.
    listens: Vec<SocketAddr>,
    /// Whether others can read what the store holds.
    store_is_shared: bool,
}

/// Builds; the configuration is none where there are problems.
pub(super) fn build(
    file: File,
    source: &str,
    base: &Path,
    (purpose, problems): (Purpose, Vec<Problem>),
) -> Result<Config, Vec<Problem>> {
    let (warnings, without_effect, listens) = (Vec::new(), Vec::new(), Vec::new());
    let mut building =
        Building { base, purpose, source, problems, warnings, without_effect, listens, store_is_shared: false };
    let config = building.config(file);
    match config {
        Some(config) if building.problems.is_empty() => {
            Ok(Config { warnings: building.warnings, without_effect: building.without_effect, ..config })
        }
        Some(_) | None => Err(building.problems),
    }
}

impl Building<'_> {
    fn config(&mut self, file: File) -> Option<Config> {
        let server = self.server(&file);
        let jwt = file.jwt.as_ref().and_then(|jwt| self.jwt(jwt));
        let verifier = jwt.as_ref().map(|(_, verifier)| verifier.clone());
        let upstreams = self.upstreams(file.upstreams);
        let migrations = self.migrations(file.migrations, &upstreams.names, file.jwt.is_some());
        let routes = self.routes(file.routes, &migrations, &upstreams.names);
        self.key_variables(&migrations, &routes);
        self.written_paths(&migrations, &routes);
        self.one_ledger_each(&routes);
        self.something_to_do(&upstreams.names, &routes);

        let settings: Vec<_> = routes.iter().map(|route| route.settings.clone()).collect();
        let plain: Vec<_> = routes.iter().map(|route| route.route.clone()).collect();
        let jwt = jwt.map(|(source, _)| source);
        let environment = server.environment.clone();
        let moves = (migrations.list.as_slice(), migrations.mirroring.as_slice());
        let document = effective::shared(&environment, &upstreams.list, moves, &plain, &settings, jwt.as_ref());
        let hash = effective::hash(&document);
        let definitions = match Definitions::build(migrations.list, plain, verifier, hash) {
            Ok(definitions) => definitions,
            Err(errors) => {
                let told = errors.iter().filter_map(|error| definition_problem(error, &migrations.places, &routes));
                self.problems.extend(told);
                return None;
            }
        };
        let config = server.into_config(upstreams.list, settings, definitions, jwt);
        Some(Config { mirroring: migrations.mirroring, ..config })
    }

    /// An empty file is a wrong file more often than a router that should answer 404 to everybody.
    fn something_to_do(&mut self, upstreams: &upstreams::Names, routes: &[routes::Placed]) {
        if self.problems.is_empty() && routes.is_empty() && upstreams.is_empty() {
            let help = "start with `upstreams`, `migrations` and `routes`";
            self.tell(Problem::new(&(0..0), "the file defines no upstreams and no routes").help(help));
        }
    }

    fn tell(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    fn missing(&mut self, at: &Range<usize>, key: &str, help: &str) {
        self.tell(Problem::new(at, format!("the key `{key}` is missing here")).help(help));
    }

    fn warn(&mut self, at: &Range<usize>, message: &str) {
        if self.warnings.len() < WARNINGS_MAX {
            let (line, _) = super::errors::position(self.source, at.start);
            self.warnings.push(format!("line {line}: {message}"));
        }
    }

    /// A path of the file: relative to the file's folder.
    fn path(&self, text: &str) -> PathBuf {
        self.base.join(text)
    }

    fn period(&mut self, field: &Option<At<Period>>, default: Duration, allowed: RangeInclusive<Duration>) -> Duration {
        let Some(At { at, value: Some(Period(period)) }) = field else {
            return default;
        };
        if allowed.contains(period) {
            return *period;
        }
        let (low, high) = (Period(*allowed.start()), Period(*allowed.end()));
        self.tell(Problem::new(at, format!("{} is outside {low} to {high}", Period(*period))));
        default
    }

    fn count(&mut self, field: &Option<At<u64>>, default: usize, allowed: RangeInclusive<usize>) -> usize {
        let Some(At { at, value: Some(written) }) = field else {
            return default;
        };
        match usize::try_from(*written) {
            Ok(count) if allowed.contains(&count) => count,
            Ok(_) | Err(_) => {
                self.tell(Problem::new(at, format!("{written} is outside {} to {}", allowed.start(), allowed.end())));
                default
            }
        }
    }

    fn size(&mut self, field: &Option<At<Size>>, default: usize, allowed: RangeInclusive<usize>) -> usize {
        let Some(At { at, value: Some(Size(written)) }) = field else {
            return default;
        };
        match usize::try_from(*written) {
            Ok(size) if allowed.contains(&size) => size,
            Ok(_) | Err(_) => {
                let (low, high) = (Size(*allowed.start() as u64), Size(*allowed.end() as u64));
                self.tell(Problem::new(at, format!("{} is outside {low} to {high}", Size(*written))));
                default
            }
        }
    }

    /// Refuses lists that only a generator gone wrong writes.
    fn bounded<T>(&mut self, at: &Range<usize>, list: &[T], what: &str, max: usize) {
        if list.len() > max {
            self.tell(Problem::new(at, format!("{} {what} are more than the {max} a router takes", list.len())));
        }
    }

    /// The content of a file that holds one secret, without the line end that editors add.
    fn secret_file(&mut self, field: &At<String>) -> Option<String> {
        let path = self.path(field.get()?);
        match read_bounded(&path) {
            Ok(text) => Some(text.trim_end_matches(['\r', '\n']).to_owned()),
            Err(error) => {
                self.tell(Problem::new(&field.at, format!("{} cannot be read: {error}", path.display())));
                None
            }
        }
    }
}

fn read_bounded(path: &Path) -> std::io::Result<String> {
    use std::io::Read as _;
    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    file.take(SECRET_FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > SECRET_FILE_BYTES_MAX {
        return Err(std::io::Error::other(format!("it is larger than {}", Size(SECRET_FILE_BYTES_MAX))));
    }
    Ok(text)
}

/// The value of a section, with defaults where it is missing or was wrong as a whole.
fn section<T: Default>(section: Option<At<T>>) -> T {
    section.and_then(|section| section.value).unwrap_or_default()
}

/// The problem at its place; none where the name was told already, with a suggestion.
fn definition_problem(
    error: &DefinitionError,
    migrations: &[Range<usize>],
    routes: &[routes::Placed],
) -> Option<Problem> {
    let nowhere = 0..0;
    let migration = |index: &usize| migrations.get(*index).unwrap_or(&nowhere).clone();
    let route = |index: &usize| routes.get(*index).map_or(0..0, |route| route.at.clone());
    match error {
        DefinitionError::UnknownPrerequisite { .. } | DefinitionError::UnknownMigration { .. } => None,
        DefinitionError::DuplicateMigration { migration: index, .. }
        | DefinitionError::Cycle { migration: index, .. }
        | DefinitionError::TooDeep { migration: index }
        | DefinitionError::SecondDefault { migration: index } => {
            Some(Problem::new(&migration(index), error.to_string()))
        }
        DefinitionError::Ambiguous(pair) => {
            let message = "two routes are equally specific and can match the same request";
            let problem = Problem::new(&route(&pair.second), message).also(&route(&pair.first), "the other route");
            Some(problem.help("make one of them more specific: by host, path, methods or headers"))
        }
    }
}
