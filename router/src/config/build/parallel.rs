//! The mode `parallel`: what is copied, within what, and by which rules answers are compared.

use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use flags::bucket::BasisPoints;
use flags::migration::{Excuse, Parallel, Write};
use flags::route::{PathTemplate, Target};
use flags::{MigrationId, Side};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use metrics::compare::{RuleEntry, RuleKind, Rules};

use super::super::errors::{Problem, quoted, suggestion};
use super::super::read::At;
use super::super::rules::{self, Lapsed};
use super::super::units::OneOf;
use super::super::{Mirroring, Purpose, file};
use super::migrations::Migrations;
use super::routes::Placed;
use super::{Building, section};

/// Methods that change nothing, so that a copy of them does no harm.
const SAFE_METHODS: [&str; 3] = ["GET", "HEAD", "OPTIONS"];

const WRITES_MAX: usize = 200;
const RAW_PATHS_MAX: usize = 256;
const NOISE_MAX: f64 = 20.0;

const REQUEST_MAX: RangeInclusive<usize> = 0..=16 << 20;
const MEMORY: RangeInclusive<usize> = 1 << 20..=16 << 30;
const IN_FLIGHT: RangeInclusive<usize> = 1..=100_000;
const TIMES: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(60);

impl Building<'_> {
    /// `index` is where the migration will be in the list of all.
    pub(super) fn parallel(
        &mut self,
        index: usize,
        file: file::Parallel,
        all: &mut Migrations,
    ) -> (Parallel, Mirroring) {
        let default = Parallel::default();
        let share = file.percent.as_ref().and_then(|percent| self.share(percent)).unwrap_or(default.share);
        let methods = match file.methods.and_then(|methods| methods.value) {
            None => default.methods,
            Some(list) => list.into_iter().filter_map(|item| self.safe_method(item)).collect(),
        };
        let writes = file.writes.map(|writes| self.writes(index, writes, all)).unwrap_or_default();
        let serve = file.serve.and_then(|serve| serve.value).map_or(Side::Legacy, |OneOf(side)| side);
        let budget = section(file.budget);
        let own = Mirroring::default();
        let mirroring = Mirroring {
            request_max: self.size(&file.request_max, own.request_max, REQUEST_MAX),
            memory: self.size(&budget.memory, own.memory, MEMORY),
            in_flight: self.count(&budget.in_flight, own.in_flight, IN_FLIGHT),
            age: self.period(&budget.age, own.age, TIMES),
            connect_timeout: self.period(&file.connect_timeout, own.connect_timeout, TIMES),
            timeout: self.period(&file.timeout, own.timeout, TIMES),
            noise: file.noise.as_ref().map_or(own.noise, |noise| {
                let share = self.share(noise).unwrap_or(BasisPoints::ZERO);
                if share.percent() > NOISE_MAX {
                    let message = format!("{} % would burden legacy: at most {NOISE_MAX} %", share.percent());
                    self.tell(Problem::new(&noise.at, message));
                }
                share
            }),
            ..self.compare(section(file.compare))
        };
        (Parallel { serve, share, methods, writes }, mirroring)
    }

    fn safe_method(&mut self, item: At<String>) -> Option<String> {
        let method = item.value?;
        if !SAFE_METHODS.contains(&method.as_str()) {
            let message = format!("{} may change something, which a copy would do twice", quoted(&method));
            let help = "methods that change nothing are GET, HEAD and OPTIONS; others stand under `writes`, by route";
            self.tell(Problem::new(&item.at, message).help(help));
        }
        Some(method)
    }

    fn writes(&mut self, index: usize, field: At<Vec<At<file::Write>>>, all: &mut Migrations) -> Vec<Write> {
        let At { at, value: Some(list) } = field else { return Vec::new() };
        self.bounded(&at, &list, "writes", WRITES_MAX);
        list.into_iter().filter_map(|item| self.write(index, &item.at, item.value?, all)).collect()
    }

    fn write(&mut self, index: usize, at: &Range<usize>, file: file::Write, all: &mut Migrations) -> Option<Write> {
        let excuse = self.excuse(at, &file);
        let Some(path) = &file.path else {
            self.missing(at, "path", "name the path of a route of this migration");
            return None;
        };
        let template = self.pattern::<PathTemplate>(path);
        if let Some(template) = &template {
            all.written_paths.push((index, template.clone(), path.at.clone()));
        }
        let Some(methods) = file.methods else {
            self.missing(at, "methods", "name what may be copied, such as `methods: [POST]`");
            return None;
        };
        let places: Vec<_> = methods.get().into_iter().flat_map(|many| many.0.iter().cloned()).collect();
        for item in places {
            if let Some(method) = item.get().filter(|method| SAFE_METHODS.contains(&method.as_str())) {
                let message = format!("{method} changes nothing");
                self.tell(Problem::new(&item.at, message).help("it stands under `methods` of `parallel`"));
            }
        }
        let methods = self.methods(Some(methods));
        Some(Write { path: template?, methods, excuse: excuse? })
    }

    /// A write that is copied is done twice, unless somebody answers for it.
    fn excuse(&mut self, at: &Range<usize>, file: &file::Write) -> Option<Excuse> {
        let dry_run = file.dry_run.as_ref().is_some_and(|switch| switch.get() == Some(&true));
        if dry_run {
            return Some(Excuse::DryRun);
        }
        match file.override_reason.as_ref().map(|reason| (&reason.at, reason.get())) {
            Some((_, Some(reason))) if !reason.trim().is_empty() => Some(Excuse::Override(reason.clone())),
            Some((_, None)) => None,
            Some((at, Some(_))) => {
                self.tell(Problem::new(at, "the reason is empty: say why doing it twice is right"));
                None
            }
            None => {
                let help = "write `dry_run: true` if the other side changes nothing for a request with `Crossfade-Mirror: 1`, or `override_reason: \"...\"`";
                self.tell(Problem::new(at, "a copy of a write does it a second time").help(help));
                None
            }
        }
    }

    fn compare(&mut self, file: file::Compare) -> Mirroring {
        let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
        let rules = file.rules.and_then(|rules| rules.value).unwrap_or_default();
        for lapsed in rules::lapsed(&rules, today) {
            self.lapsed(&lapsed);
        }
        let rules = rules::checked(rules, &mut self.problems);
        let mut raw_paths = Vec::new();
        if let Some(At { at, value: Some(list) }) = file.raw_paths {
            self.bounded(&at, &list, "paths", RAW_PATHS_MAX);
            for item in list {
                let Some(path) = item.value else { continue };
                self.readable_path(&item.at, &path);
                raw_paths.push(path);
            }
        }
        let version_header = file.version_header.and_then(|field| {
            let name = field.value?.to_ascii_lowercase();
            let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            if name.is_empty() || !name.bytes().all(is_token) {
                self.tell(Problem::new(&field.at, format!("{} is not the name of a field", quoted(&name))));
            }
            Some(name)
        });
        Mirroring { rules, raw_paths, version_header, ..Mirroring::default() }
    }

    /// A rule that holds no longer. It is an error to whoever checks the file, and must not keep a router from starting.
    fn lapsed(&mut self, lapsed: &Lapsed) {
        let help = "remove it, or give it a new day if somebody still answers for it";
        match self.purpose {
            Purpose::Check => self.tell(Problem::new(&lapsed.at, &lapsed.message).help(help)),
            Purpose::Run => self.warn(&lapsed.at, &format!("{}, and does not hold any more; {help}", lapsed.message)),
        }
    }

    /// A path that no rule could have would never show anything.
    fn readable_path(&mut self, at: &Range<usize>, path: &str) {
        let word = || "-".to_owned();
        let entry = RuleEntry {
            path: path.to_owned(),
            kind: RuleKind::Ignore,
            owner: word(),
            reason: word(),
            expires: None,
            route: None,
        };
        for error in Rules::parse(vec![entry]).err().into_iter().flatten() {
            self.tell(Problem::new(at, error.problem));
        }
    }

    /// An opt-in for a path that no route has would silently copy nothing.
    pub(super) fn written_paths(&mut self, migrations: &Migrations, routes: &[Placed]) {
        for (index, template, at) in &migrations.written_paths {
            let Some(migration) = migrations.list.get(*index) else { continue };
            let of = |id: &MigrationId| *id == migration.id;
            let own = routes.iter().filter(|placed| matches!(&placed.route.target, Target::Migration(id) if of(id)));
            let paths: Vec<String> = own.map(|placed| placed.route.path.to_string()).collect();
            let written = template.to_string();
            if !paths.contains(&written) {
                let known: Vec<&str> = paths.iter().map(String::as_str).collect();
                let message = format!("no route of {} has the path {}", migration.id, quoted(&written));
                self.tell(Problem { help: suggestion(&written, &known), ..Problem::new(at, message) });
            }
        }
    }
}
