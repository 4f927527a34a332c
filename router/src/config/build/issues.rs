//! Routes that receive issues: who may send, what names an issue, and where either side takes it.

use std::num::NonZeroU32;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flags::route::PathTemplate;
use flags::{KeySource, Migration, MigrationId, Mode, Side};

use super::super::errors::{Problem, quoted};
use super::super::file;
use super::super::issues::{IssueRoute, Pointer, Preset, Reconcile, Scheme, SideTarget, Signature, SourceRate};
use super::super::notify::{Address, Held, Secret};
use super::super::read::{At, Many};
use super::super::units::OneOf;
use super::Building;
use super::migrations::{Migrations, switch};
use super::server::text;

const SECRETS_MAX: usize = 8;
const ACTIONS_MAX: usize = 256;
const ACTION_CHARS_MAX: usize = 64;
const KEY_PARTS_MAX: usize = 4;
const REPOSITORIES_MAX: usize = 1_000;
const SECOND: Duration = Duration::from_secs(1);

/// Standard Webhooks: 192 to 512 bits.
const STANDARD_SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// The largest body of a webhook, which is what GitHub sends at most.
const BODY_BYTES: usize = 25_000_000;

impl Building<'_> {
    /// `path` is that of the route, which either side has where it names none of its own.
    pub(super) fn issues(
        &mut self,
        field: &At<file::Issues>,
        path: Option<&At<String>>,
        migrations: &Migrations,
    ) -> Option<Arc<IssueRoute>> {
        let (at, file) = (&field.at, field.get()?);
        let preset = file.preset.as_ref().and_then(At::get).map_or(Preset::Github, |OneOf(preset)| *preset);
        let migration = self.issues_migration(at, file.migration.as_ref(), migrations);
        let signature = self.signature(at, file, preset);
        let scheme = signature.as_ref().map_or(Scheme::HmacSha256Hex, |own| own.scheme);
        let delivery_id = self.delivery_id(at, file.delivery_id.as_ref(), preset, scheme);
        let key = self.issue_key(at, file.key.as_ref(), preset);
        let action = match (&file.action, preset) {
            (Some(field), _) => self.place(field),
            (None, Preset::Github) => Some(KeySource::Json("/action".into())),
            (None, Preset::Json) => None,
        };
        let actions = self.actions(file.actions.as_ref(), action.is_some());
        let order_by = match (&file.order_by, preset) {
            (Some(field), _) => self.pointer(field),
            (None, Preset::Github) => Pointer::parse("/issue/updated_at"),
            (None, Preset::Json) => None,
        };
        let rate = file.rate.as_ref().and_then(|field| self.rate(field));
        let legacy = self.side_target(at, "legacy", file.legacy.as_ref(), path);
        let new = self.side_target(at, "new", file.new.as_ref(), path);
        let reconcile = file.reconcile.as_ref().and_then(|field| self.reconcile(field, preset));
        let migration = migration?;
        let (legacy, new) = (legacy?, new?);
        self.shadow(at, migration, [&legacy, &new]);
        Some(Arc::new(IssueRoute {
            path: path.and_then(At::get).cloned().unwrap_or_default(),
            migration: migration.id.clone(),
            preset,
            signature: signature?,
            delivery_id: delivery_id?,
            key: key?,
            action,
            actions,
            order_by,
            body_max: self.size(&file.body_max, BODY_BYTES, 1_024..=100_000_000),
            rate,
            legacy,
            new,
            lease: self.period(&file.lease, 60 * SECOND, 60 * SECOND..=86_400 * SECOND),
            rollback_after: self.failures(file.rollback_after.as_ref()),
            journal: self.journal(file.journal.as_ref(), &migration.id),
            journal_max: self.size(&file.journal_max, 256 << 20, 1 << 20..=1 << 40) as u64,
            reconcile,
        }))
    }

    fn issues_migration<'a>(
        &mut self,
        at: &Range<usize>,
        field: Option<&At<String>>,
        migrations: &'a Migrations,
    ) -> Option<&'a Migration> {
        let Some(field) = field else {
            self.missing(at, "migration", "name the migration that places the issues");
            return None;
        };
        let name = field.get()?;
        self.known_migration(&field.at, name, &migrations.ids);
        Some(&migrations.list[*migrations.index.get(name)?])
    }

    fn signature(&mut self, at: &Range<usize>, file: &file::Issues, preset: Preset) -> Option<Signature> {
        let own = file.signature.as_ref().and_then(At::get);
        let word = own.and_then(|own| own.scheme.as_ref()).and_then(At::get).map(|OneOf(scheme)| *scheme);
        let scheme = match (word, preset) {
            (Some(scheme), _) => scheme,
            (None, Preset::Github) => Scheme::HmacSha256Hex,
            (None, Preset::Json) => {
                let help =
                    "write `signature: {scheme: hmac_sha256_hex, header: NAME}` or `{scheme: standard_webhooks}`";
                self.tell(Problem::new(at, "nothing here says how these webhooks are signed").help(help));
                return None;
            }
        };
        let secrets = self.webhook_secrets(at, file, scheme);
        let (header, prefix) = (own.and_then(|own| own.header.as_ref()), own.and_then(|own| own.prefix.as_ref()));
        let header = self.signature_field(at, header, scheme, preset)?;
        let prefix = match (text(prefix), preset, scheme) {
            (Some(prefix), _, _) => prefix.to_owned(),
            (None, Preset::Github, Scheme::HmacSha256Hex) => "sha256=".into(),
            (None, _, _) => String::new(),
        };
        Some(Signature { scheme, header, prefix, secrets: secrets? })
    }

    fn signature_field(
        &mut self,
        at: &Range<usize>,
        field: Option<&At<String>>,
        scheme: Scheme,
        preset: Preset,
    ) -> Option<String> {
        match (field, scheme, preset) {
            (Some(field), Scheme::StandardWebhooks | Scheme::Unsigned, _) => {
                let message = "this scheme has no field of one's own choice";
                self.tell(Problem::new(&field.at, message).help("remove `header`"));
                None
            }
            (Some(field), Scheme::HmacSha256Hex, _) => match format!("header:{}", field.get()?).parse() {
                Ok(KeySource::Header(name)) => Some(name),
                Ok(_) | Err(_) => {
                    let message = format!("{} is not the name of a field", quoted(field.get()?));
                    self.tell(Problem::new(&field.at, message));
                    None
                }
            },
            (None, Scheme::HmacSha256Hex, Preset::Github) => Some("x-hub-signature-256".into()),
            (None, Scheme::HmacSha256Hex, Preset::Json) => {
                let at = at.clone();
                self.missing(&at, "signature.header", "write the field that holds the HMAC of the body");
                None
            }
            (None, Scheme::StandardWebhooks | Scheme::Unsigned, _) => Some(String::new()),
        }
    }

    fn webhook_secrets(&mut self, at: &Range<usize>, file: &file::Issues, scheme: Scheme) -> Option<Vec<Held<Secret>>> {
        let mut written: Vec<(Range<usize>, Held<String>)> = Vec::new();
        if let Some(At { value: Some(Many(list)), .. }) = &file.secret {
            let here = |own: &At<String>| Some((own.at.clone(), Held { value: own.get()?.clone(), file: None }));
            written.extend(list.iter().filter_map(here));
        }
        if let Some(At { value: Some(Many(list)), .. }) = &file.secret_file {
            for own in list {
                let value = self.secret_file(own)?;
                let file = own.get().map(|path| self.path(path));
                written.push((own.at.clone(), Held { value, file }));
            }
        }
        if scheme == Scheme::Unsigned {
            if let Some((at, _)) = written.first() {
                let message = "a secret stands here, and the scheme says that nothing is signed";
                self.tell(Problem::new(at, message).help("remove the secret, or name a scheme that uses it"));
            }
            return Some(Vec::new());
        }
        if written.is_empty() {
            let message = "nothing proves who sends these webhooks: the key `secret` is missing here";
            let help = "write `secret: ${WEBHOOK_SECRET}`, or name a file that holds it: `secret_file`";
            self.tell(Problem::new(at, message).help(help));
            return None;
        }
        self.bounded(at, &written, "secrets", SECRETS_MAX);
        written.into_iter().map(|(at, own)| self.secret_of(&at, own, scheme)).collect()
    }

    /// No message repeats a secret.
    fn secret_of(&mut self, at: &Range<usize>, own: Held<String>, scheme: Scheme) -> Option<Held<Secret>> {
        let Held { value, file } = own;
        if scheme == Scheme::StandardWebhooks {
            let bytes = value.strip_prefix("whsec_").and_then(|base64| STANDARD.decode(base64).ok());
            let Some(bytes) = bytes.filter(|bytes| STANDARD_SECRET_BYTES.contains(&bytes.len())) else {
                let help = "write whsec_ and 24 to 64 random bytes in base64, as the sender shows it";
                self.tell(Problem::new(at, "this is not the secret of a webhook").help(help));
                return None;
            };
            return Some(Held { value: Secret::new(bytes), file });
        }
        if value.len() < 8 {
            let message = "a secret of fewer than 8 characters is guessed";
            self.tell(Problem::new(at, message).help("make one: openssl rand -hex 32"));
            return None;
        }
        Some(Held { value: Secret::new(value), file })
    }

    fn delivery_id(
        &mut self,
        at: &Range<usize>,
        field: Option<&At<String>>,
        preset: Preset,
        scheme: Scheme,
    ) -> Option<KeySource> {
        match (field, preset, scheme) {
            (Some(field), _, _) => self.place(field),
            (None, _, Scheme::StandardWebhooks) => Some(KeySource::Header("webhook-id".into())),
            (None, Preset::Github, _) => Some(KeySource::Header("x-github-delivery".into())),
            (None, Preset::Json, _) => {
                self.missing(at, "delivery_id", "write what names a delivery: header:NAME or json:/POINTER");
                None
            }
        }
    }

    /// A field, or a place in the body.
    fn place(&mut self, field: &At<String>) -> Option<KeySource> {
        let text = field.get()?;
        match text.parse() {
            Ok(KeySource::Json(pointer)) if Pointer::parse(&pointer).is_some() => Some(KeySource::Json(pointer)),
            Ok(KeySource::Header(name)) => Some(KeySource::Header(name)),
            Ok(_) | Err(_) => {
                let message = format!("{} is neither a field nor a place in the body", quoted(text));
                self.tell(Problem::new(&field.at, message).help("write header:NAME or json:/POINTER"));
                None
            }
        }
    }

    fn pointer(&mut self, field: &At<String>) -> Option<Pointer> {
        let text = field.get()?;
        let pointer = Pointer::parse(text.strip_prefix("json:").unwrap_or(text));
        if pointer.is_none() {
            let message = format!("{} is not a JSON Pointer", quoted(text));
            let help = "write the names on the way with a slash before each, such as /issue/number; ~1 is a slash in a name, ~0 a tilde";
            self.tell(Problem::new(&field.at, message).help(help));
        }
        pointer
    }

    fn issue_key(
        &mut self,
        at: &Range<usize>,
        field: Option<&At<Many<At<String>>>>,
        preset: Preset,
    ) -> Option<Vec<Pointer>> {
        let Some(At { at, value }) = field else {
            if preset == Preset::Github {
                return ["/repository/full_name", "/issue/number"].into_iter().map(Pointer::parse).collect();
            }
            self.missing(at, "key", "write the places in the body that name an issue, such as `key: [/ticket/id]`");
            return None;
        };
        let Many(list) = value.as_ref()?;
        if list.is_empty() {
            self.tell(
                Problem::new(at, "no place in the body would name the issue").help("write one, such as /ticket/id"),
            );
            return None;
        }
        self.bounded(at, list, "parts of a key", KEY_PARTS_MAX);
        let pointers: Vec<Option<Pointer>> = list.iter().map(|item| self.pointer(item)).collect();
        pointers.into_iter().collect()
    }

    fn actions(&mut self, field: Option<&At<Many<At<String>>>>, has_action: bool) -> Vec<String> {
        let Some(At { at, value: Some(Many(list)) }) = field else {
            return Vec::new();
        };
        if list.is_empty() {
            let message = "every webhook would be ignored";
            self.tell(Problem::new(at, message).help("leave `actions` out to take them all"));
        }
        if !has_action {
            let message = "actions stand here, and nothing says where an action is found";
            self.tell(Problem::new(at, message).help("write `action: json:/POINTER`"));
        }
        self.bounded(at, list, "actions", ACTIONS_MAX);
        let mut actions: Vec<String> = Vec::new();
        for item in list {
            let Some(action) = item.get() else { continue };
            if action.is_empty() || action.chars().count() > ACTION_CHARS_MAX || action.chars().any(char::is_control) {
                self.tell(Problem::new(&item.at, format!("{} is not an action", quoted(action))));
            } else if actions.contains(action) {
                self.tell(Problem::new(&item.at, format!("the action {} stands here twice", quoted(action))));
            }
            actions.push(action.clone());
        }
        actions
    }

    fn rate(&mut self, field: &At<file::SourceRate>) -> Option<SourceRate> {
        let file = field.get()?;
        let Some(per_source) = &file.per_source else {
            self.missing(&field.at, "per_source", "write how fast one address may send, such as `per_source: 100/s`");
            return None;
        };
        let per_source = *per_source.get()?;
        let burst = match &file.burst {
            None => Some(per_source.count),
            Some(field) => {
                let burst = NonZeroU32::new(*field.get()?);
                if burst.is_none() {
                    self.tell(Problem::new(&field.at, "a burst of 0 lets nothing through"));
                }
                burst
            }
        };
        Some(SourceRate { per_source, burst: burst? })
    }

    fn side_target(
        &mut self,
        at: &Range<usize>,
        name: &str,
        field: Option<&At<file::SideTarget>>,
        route: Option<&At<String>>,
    ) -> Option<SideTarget> {
        let none = file::SideTarget::default();
        let file = field.map_or(Some(&none), At::get)?;
        let path = match &file.path {
            Some(own) => {
                let path = own.get()?;
                let visible = path.bytes().all(|byte| byte.is_ascii_graphic());
                if !path.starts_with('/') || !visible || path.contains('#') || path.len() > 1_024 {
                    let message = format!("{} is not a path", quoted(path));
                    self.tell(Problem::new(&own.at, message).help("write one that starts with a slash"));
                    return None;
                }
                path.clone()
            }
            None => {
                let path = route?.get()?;
                let template = path.parse::<PathTemplate>().ok()?;
                if template.to_string().contains(['{', '*']) {
                    let at = field.map_or(at, |field| &field.at);
                    let message = format!("the path {} of this route has parts that vary", quoted(path));
                    let help = format!("say where {name} takes its deliveries: `{name}: {{path: /PATH}}`");
                    self.tell(Problem::new(at, message).help(help));
                    return None;
                }
                path.clone()
            }
        };
        let day = 86_400 * SECOND;
        let max_duration = file.max_duration.is_some();
        let max_duration = max_duration.then(|| self.period(&file.max_duration, day, SECOND..=day));
        let timeout = self.period(&file.timeout, 10 * SECOND, Duration::from_millis(10)..=25 * SECOND);
        Some(SideTarget { path, timeout, max_duration, dry_run: switch(file.dry_run.as_ref(), false) })
    }

    /// Two systems that both act on one issue are what this is there to prevent.
    fn shadow(&mut self, at: &Range<usize>, migration: &Migration, targets: [&SideTarget; 2]) {
        let shadow = migration.parallel.serve.other();
        if targets[shadow as usize].dry_run {
            return;
        }
        let side = shadow.name();
        let name = if shadow == Side::New { &migration.labels.new } else { &migration.labels.legacy };
        if migration.initial.mode == Mode::Parallel {
            let message = format!(
                "{} begins in mode parallel, where both systems would act on every issue: nothing says that {name} only watches",
                migration.id
            );
            let help = format!(
                "write `{side}: {{dry_run: true}}` once {name} changes nothing when a delivery says Crossfade-Shadow: 1"
            );
            self.tell(Problem::new(at, message).help(help));
        }
    }

    fn failures(&mut self, field: Option<&At<u32>>) -> u32 {
        let Some(At { at, value: Some(count) }) = field else { return 5 };
        if *count > 1_000 {
            self.tell(Problem::new(at, format!("{count} is outside 0 to 1000")));
        }
        *count
    }

    fn journal(&mut self, field: Option<&At<String>>, migration: &MigrationId) -> PathBuf {
        let name = text(field).map_or_else(|| format!("issues-{migration}.journal"), str::to_owned);
        self.path(&name)
    }

    fn reconcile(&mut self, field: &At<file::Reconcile>, preset: Preset) -> Option<Reconcile> {
        let file = field.get()?;
        if preset != Preset::Github {
            let message = "only GitHub can be asked for what it did not deliver";
            self.tell(Problem::new(&field.at, message).help("remove `reconcile`, or use `preset: github`"));
            return None;
        }
        let api = match &file.api {
            None => "https://api.github.com".to_owned(),
            Some(own) => match Address::parse(own.get()?) {
                Ok(address) => address.without_query().trim_end_matches('/').to_owned(),
                Err(problem) => {
                    let problem = Problem::new(&own.at, format!("the address of the API {problem}"));
                    self.tell(problem.help("write https://api.github.com or https://HOST/api/v3"));
                    return None;
                }
            },
        };
        let token = self.held(&field.at, "token", file.token.as_ref(), file.token_file.as_ref());
        let Some(At { at, value: Some(Many(list)) }) = &file.repositories else {
            self.missing(&field.at, "repositories", "write each as OWNER/NAME");
            return None;
        };
        self.bounded(at, list, "repositories", REPOSITORIES_MAX);
        let mut repositories = Vec::new();
        for item in list {
            let Some(name) = item.get() else { continue };
            if !is_repository(name) {
                let message = format!("{} is not a repository", quoted(name));
                self.tell(Problem::new(&item.at, message).help("write OWNER/NAME"));
            }
            repositories.push(name.clone());
        }
        let interval = self.period(&file.interval, 300 * SECOND, SECOND..=86_400 * SECOND);
        let token = token.map(|(_, Held { value, file })| Held { value: Secret::new(value), file })?;
        Some(Reconcile { api, token, repositories, interval })
    }
}

fn is_repository(text: &str) -> bool {
    let word = |part: &str| {
        let bytes = part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
        !part.is_empty() && part.len() <= 100 && bytes && !matches!(part, "." | "..")
    };
    text.split_once('/').is_some_and(|(owner, name)| word(owner) && word(name))
}
