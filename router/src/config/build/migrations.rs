//! Migrations: who is behind the sides, where keys come from, and what is refused early.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::ops::Range;

use flags::bucket::BasisPoints;
use flags::migration::{Initial, Labels, OnMissingKey};
use flags::route::PathTemplate;
use flags::rule::{AnyOf, Condition, Rule};
use flags::{HashKind, KeySource, Migration, MigrationId};
use ipnet::IpNet;

use super::super::errors::{Problem, quoted, suggestion};
use super::super::read::{At, Entries, Many};
use super::super::units::{OneOf, Percent};
use super::super::{Mirroring, file};
use super::{Building, section, upstreams};

const MIGRATIONS_MAX: usize = 10_000;
const KEY_SOURCES_MAX: usize = 16;
const RULES_MAX: usize = 1_000;
const VALUES_MAX: usize = 10_000;
const LABEL_CHARS_MAX: usize = 64;

#[derive(Default)]
pub(super) struct Migrations {
    pub(super) list: Vec<Migration>,
    /// How each of the list makes its copies.
    pub(super) mirroring: Vec<Mirroring>,
    /// Where each of the list is defined.
    pub(super) places: Vec<Range<usize>>,
    /// The place in the list by id.
    pub(super) index: HashMap<String, usize>,
    /// Every id of the file, also of migrations that are wrong elsewhere.
    pub(super) ids: HashSet<String>,
    /// Keys of Redis that migrations write, and where they are named.
    pub(super) plain_keys: HashMap<String, Range<usize>>,
    /// `path:NAME` among keys and rules: the place in the list, the name, where it is written.
    pub(super) path_variables: Vec<(usize, String, Range<usize>)>,
    /// Paths whose writes are copied: the place in the list, the path, where it is written.
    pub(super) written_paths: Vec<(usize, PathTemplate, Range<usize>)>,
}

impl Building<'_> {
    pub(super) fn migrations(
        &mut self,
        field: Option<At<Vec<At<file::Migration>>>>,
        upstreams: &upstreams::Names,
        verifies_jwt: bool,
    ) -> Migrations {
        let mut migrations = Migrations::default();
        let Some(At { at, value: Some(list) }) = field else {
            return migrations;
        };
        self.bounded(&at, &list, "migrations", MIGRATIONS_MAX);
        let ids = list.iter().filter_map(|migration| migration.get()?.id.as_ref()?.get().cloned());
        migrations.ids = ids.collect();
        for At { at, value } in list {
            let Some(file) = value else { continue };
            let place = file.id.as_ref().map_or(at.clone(), |id| id.at.clone());
            let (variables, written) = (migrations.path_variables.len(), migrations.written_paths.len());
            let index = migrations.list.len();
            match self.migration(&at, file, upstreams, verifies_jwt, &mut migrations) {
                Some((migration, mirroring)) => {
                    migrations.mirroring.push(mirroring);
                    migrations.index.entry(migration.id.as_str().into()).or_insert(index);
                    migrations.list.push(migration);
                    migrations.places.push(place);
                }
                None => {
                    migrations.path_variables.truncate(variables);
                    migrations.written_paths.truncate(written);
                }
            }
            // What is missing here was told, by this or when the file was read.
            debug_assert!(migrations.list.len() > index || !self.problems.is_empty());
        }
        migrations
    }

    fn migration(
        &mut self,
        at: &Range<usize>,
        file: file::Migration,
        upstreams: &upstreams::Names,
        verifies_jwt: bool,
        all: &mut Migrations,
    ) -> Option<(Migration, Mirroring)> {
        let id = self.id(at, file.id.as_ref());
        let legacy = self.side(at, "legacy", file.legacy.as_ref(), upstreams);
        let new = self.side(at, "new", file.new.as_ref(), upstreams);
        if let (Some(legacy), Some(new), Some(field)) = (&legacy, &new, &file.new)
            && legacy == new
        {
            self.tell(Problem::new(&field.at, format!("legacy and new are both {}: nothing would move", quoted(new))));
        }
        self.without_effect_of(id.as_ref(), &file);
        let hash = word_or_default(file.hash.as_ref());
        let initial = self.initial(section(file.initial), hash);
        let key = self.key(all, file.key);
        let rules = self.rules(all, file.rules, verifies_jwt);
        let requires = self.requires(&all.ids, file.requires);
        let program = file.program.and_then(|program| self.program(program));
        let (parallel, mirroring) = self.parallel(all.list.len(), section(file.parallel), all);
        let guard = self.guard(&section(file.guard));
        let fallback = self.fallback(section(file.fallback));
        let labels = file.labels.and_then(|labels| self.labels(labels));
        let on_missing_key = word_or_default(file.on_missing_key.as_ref());
        if key.is_empty() && on_missing_key != OnMissingKey::Random {
            let side = super::super::units::word(on_missing_key);
            let name = id.as_ref().map_or("?", MigrationId::as_str);
            self.warn(
                at,
                &format!("{name} has no `key`: in mode gradual every request goes to {side} between 0 and 100 %"),
            );
        }
        let mut migration = Migration::new(id?, legacy?, new?);
        if let Some((legacy, new)) = labels {
            migration.labels = Labels {
                legacy: legacy.unwrap_or_else(|| migration.legacy.clone()),
                new: new.unwrap_or_else(|| migration.new.clone()),
            };
        }
        let mirror_keys = self.mirror_keys(file.mirror_keys, &migration.id, &migration.labels, hash, all);
        let migration = Migration {
            key: key.into(),
            mirror_keys,
            on_missing_key,
            hash,
            program,
            initial,
            rules,
            requires,
            unsafe_methods: word_or_default(section(file.methods).r#unsafe.as_ref()),
            parallel,
            guard,
            fallback,
            default: switch(file.default.as_ref(), false),
            reversible: switch(file.reversible.as_ref(), true),
            override_pins: switch(section(file.rollback).override_pins.as_ref(), true),
            ..migration
        };
        Some((migration, mirroring))
    }

    fn id(&mut self, at: &Range<usize>, field: Option<&At<String>>) -> Option<MigrationId> {
        let Some(field) = field else {
            self.missing(at, "id", "write a name that stays, such as `id: sessions`");
            return None;
        };
        match MigrationId::new(field.get()?) {
            Ok(id) => Some(id),
            Err(error) => {
                self.tell(Problem::new(&field.at, error.to_string()));
                None
            }
        }
    }

    fn side(
        &mut self,
        at: &Range<usize>,
        key: &str,
        field: Option<&At<String>>,
        upstreams: &upstreams::Names,
    ) -> Option<String> {
        let Some(field) = field else {
            self.missing(at, key, "name the upstream of this side");
            return None;
        };
        let name = field.get()?;
        self.known_upstream(&field.at, name, upstreams).then(|| name.clone())
    }

    pub(super) fn known_upstream(&mut self, at: &Range<usize>, name: &str, upstreams: &upstreams::Names) -> bool {
        if upstreams.contains_key(name) {
            return true;
        }
        let mut known: Vec<&str> = upstreams.keys().map(String::as_str).collect();
        known.sort_unstable();
        let problem = Problem::new(at, format!("the upstream {} is not defined", quoted(name)));
        self.tell(Problem { help: suggestion(name, &known), ..problem });
        false
    }

    fn without_effect_of(&mut self, id: Option<&MigrationId>, file: &file::Migration) {
        let name = id.map_or("?", MigrationId::as_str);
        let off = |value: &serde_json::Value| match value {
            serde_json::Value::Array(list) => list.is_empty(),
            serde_json::Value::Object(map) => map.is_empty(),
            other => other.is_null(),
        };
        if file.plan.as_ref().and_then(At::get).is_some_and(|value| !off(value)) {
            self.without_effect.push(format!("migrations.{name}.plan"));
        }
    }

    fn initial(&mut self, file: file::Initial, hash: HashKind) -> Initial {
        let share = file.percent.as_ref().and_then(|percent| self.share(percent)).unwrap_or(BasisPoints::ZERO);
        if let (HashKind::Modulo, Some(percent)) = (hash, &file.percent)
            && !share.is_whole_percent()
        {
            self.tell(Problem::new(&percent.at, "the hash `modulo` knows whole percents only"));
        }
        Initial {
            mode: file.mode.and_then(|mode| mode.value).map_or(flags::Mode::LegacyOnly, |OneOf(mode)| mode),
            share,
        }
    }

    pub(super) fn share(&mut self, field: &At<Percent>) -> Option<BasisPoints> {
        let Percent(percent) = field.get()?;
        match BasisPoints::from_percent(*percent) {
            Ok(share) => Some(share),
            Err(error) => {
                self.tell(Problem::new(&field.at, error.to_string()));
                None
            }
        }
    }

    fn key(&mut self, all: &mut Migrations, field: Option<At<Many<At<String>>>>) -> Vec<KeySource> {
        let Some(At { at, value: Some(Many(list)) }) = field else {
            return Vec::new();
        };
        self.bounded(&at, &list, "key sources", KEY_SOURCES_MAX);
        let mut sources: Vec<KeySource> = Vec::new();
        for item in list {
            let Some(source) = item.get().and_then(|text| self.source(&item.at, text, all)) else { continue };
            if sources.contains(&source) {
                self.tell(Problem::new(
                    &item.at,
                    format!("the key source {} stands here twice", quoted(&source.to_string())),
                ));
            }
            sources.push(source);
        }
        sources
    }

    fn source(&mut self, at: &Range<usize>, text: &str, all: &mut Migrations) -> Option<KeySource> {
        match text.parse::<KeySource>() {
            Ok(source) => {
                if let KeySource::Path(name) = &source {
                    all.path_variables.push((all.list.len(), name.clone(), at.clone()));
                }
                Some(source)
            }
            Err(error) => {
                let kinds = ["header", "cookie", "path", "query", "json", "jwt", "client_ip"];
                let written = text.split(':').next().unwrap_or_default();
                let close = super::super::errors::closest(written, kinds);
                let help = close.filter(|kind| *kind != written).map(|kind| format!("did you mean `{kind}`?"));
                self.tell(Problem { help, ..Problem::new(at, error.to_string()) });
                None
            }
        }
    }

    fn rules(&mut self, all: &mut Migrations, field: Option<At<Vec<At<file::Rule>>>>, verifies_jwt: bool) -> Vec<Rule> {
        let Some(At { at, value: Some(list) }) = field else {
            return Vec::new();
        };
        self.bounded(&at, &list, "rules", RULES_MAX);
        let mut rules = Vec::new();
        for At { at, value } in list {
            let Some(rule) = value else { continue };
            if rule.serve.is_none() {
                self.missing(&at, "serve", "write `serve: new` or `serve: legacy`");
            }
            let Some(matches) = rule.r#match else {
                self.missing(
                    &at,
                    "match",
                    "write what a request must carry, such as `match: {\"header:x-group\": beta}`",
                );
                continue;
            };
            let Some(Entries(entries)) = matches.value else { continue };
            if entries.is_empty() {
                self.tell(Problem::new(&matches.at, "a rule without conditions would place everybody"));
            }
            let conditions = entries.into_iter().filter_map(|entry| self.condition(entry, all, verifies_jwt)).collect();
            if let Some(OneOf(serve)) = rule.serve.and_then(|serve| serve.value) {
                rules.push(Rule { conditions, serve });
            }
        }
        rules
    }

    fn condition(
        &mut self,
        (key, values): (At<String>, At<Many<At<String>>>),
        all: &mut Migrations,
        verifies_jwt: bool,
    ) -> Option<Condition> {
        let source = self.source(&key.at, key.get()?, all)?;
        if matches!(source, KeySource::Jwt(_)) && !verifies_jwt {
            let message = "a rule on a claim needs verified tokens: anybody can write a claim";
            let help = "add `jwt: {jwks_file: ...}` or `jwt: {secret_file: ...}` at the top of the file";
            self.tell(Problem::new(&key.at, message).help(help));
        }
        let Many(list) = values.value?;
        if list.is_empty() {
            self.tell(Problem::new(&values.at, "a condition without values never holds"));
        }
        self.bounded(&values.at, &list, "values", VALUES_MAX);
        let any_of = if source == KeySource::ClientIp {
            AnyOf::Networks(list.iter().filter_map(|value| self.network(value)).collect())
        } else {
            AnyOf::Values(list.into_iter().filter_map(|value| value.value).collect())
        };
        Some(Condition { source, any_of })
    }

    /// A network, or an address as the network that holds only it.
    pub(super) fn network(&mut self, field: &At<String>) -> Option<IpNet> {
        let text = field.get()?;
        let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        if network.is_err() {
            let message = format!("{} is neither an address nor a network", quoted(text));
            self.tell(Problem::new(&field.at, message).help("write 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32"));
        }
        network.ok().map(|network| network.trunc())
    }

    fn requires(&mut self, ids: &HashSet<String>, field: Option<At<Vec<At<String>>>>) -> Vec<MigrationId> {
        let list = field.and_then(|field| field.value).unwrap_or_default();
        list.iter()
            .filter_map(|item| {
                let text = item.get()?;
                self.known_migration(&item.at, text, ids).then(|| MigrationId::new(text).ok())?
            })
            .collect()
    }

    pub(super) fn known_migration(&mut self, at: &Range<usize>, text: &str, ids: &HashSet<String>) -> bool {
        if ids.contains(text) {
            return true;
        }
        let mut known: Vec<&str> = ids.iter().map(String::as_str).collect();
        known.sort_unstable();
        let problem = Problem::new(at, format!("the migration {} is not defined", quoted(text)));
        self.tell(Problem { help: suggestion(text, &known), ..problem });
        false
    }

    fn program(&mut self, field: At<String>) -> Option<String> {
        let text = field.value?;
        if MigrationId::new(&text).is_err() {
            let message = format!("{} is not the name of a program", quoted(&text));
            let help = "use 1 to 63 characters of a-z, 0-9, '.', '_' and '-', starting with a letter or digit";
            self.tell(Problem::new(&field.at, message).help(help));
        }
        Some(text)
    }

    fn labels(&mut self, field: At<file::Labels>) -> Option<(Option<String>, Option<String>)> {
        let labels = field.value?;
        for label in [&labels.legacy, &labels.new].into_iter().flatten() {
            if let Some(text) = label.get()
                && (text.trim().is_empty() || text.chars().count() > LABEL_CHARS_MAX || text.contains(char::is_control))
            {
                let message =
                    format!("{} is not a label: use 1 to {LABEL_CHARS_MAX} printable characters", quoted(text));
                self.tell(Problem::new(&label.at, message));
            }
        }
        let (legacy, new) = (labels.legacy.and_then(|at| at.value), labels.new.and_then(|at| at.value));
        if legacy.is_some() && legacy == new {
            self.tell(Problem::new(&field.at, "both sides have the same label"));
        }
        Some((legacy, new))
    }
}

pub(super) fn word_or_default<T: Copy + Default>(field: Option<&At<OneOf<T>>>) -> T {
    field.and_then(At::get).map_or_else(T::default, |OneOf(value)| *value)
}

pub(super) fn switch(field: Option<&At<bool>>, default: bool) -> bool {
    field.and_then(At::get).copied().unwrap_or(default)
}
