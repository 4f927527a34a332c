//! Targets of notices: each of one kind, reachable by an address that is one, with the secret that it needs.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use metrics::notice::Kind;

use super::super::errors::{Problem, quoted};
use super::super::file;
use super::super::notify::{Address, Authorities, Channel, Held, NotifyTarget, Secret};
use super::super::read::{At, Many};
use super::super::units::OneOf;
use super::Building;

const TARGETS_MAX: usize = 16;

/// Standard Webhooks: 192 to 512 bits.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

const SECRET_HELP: &str = "write whsec_ and 24 to 64 random bytes in base64: echo whsec_$(openssl rand -base64 32)";
const PAGERDUTY_URL: &str = "https://events.pagerduty.com/v2/enqueue";

impl Building<'_> {
    pub(super) fn notify(&mut self, field: Option<&At<Vec<At<file::NotifyTarget>>>>) -> Vec<NotifyTarget> {
        let Some(At { at, value: Some(list) }) = field else {
            return Vec::new();
        };
        self.bounded(at, list, "targets of notices", TARGETS_MAX);
        list.iter().filter_map(|item| self.notify_target(&item.at, item.get()?)).collect()
    }

    fn notify_target(&mut self, at: &Range<usize>, file: &file::NotifyTarget) -> Option<NotifyTarget> {
        let given = [
            ("webhook", file.webhook.is_some()),
            ("slack", file.slack.is_some()),
            ("alertmanager", file.alertmanager.is_some()),
            ("pagerduty", file.pagerduty.is_some()),
        ];
        let given: Vec<&str> = given.into_iter().filter_map(|(name, is)| is.then_some(name)).collect();
        if given.len() != 1 {
            let found = if given.is_empty() { "none".into() } else { given.join(" and ") };
            let message =
                format!("a target is one of webhook, slack, alertmanager and pagerduty, and here stands {found}");
            self.tell(Problem::new(at, message).help("write one entry of the list for each"));
            return None;
        }
        let channel = self.channel(file);
        let authorities = file.ca_file.as_ref().map(|field| self.authorities_of_target(field));
        let channel = channel?;
        let on = self.kinds(file.on.as_ref(), &channel);
        let authorities = match authorities {
            Some(authorities) => Some(authorities?),
            None => None,
        };
        if authorities.is_some() && channel.url().uri().scheme_str() == Some("http") {
            let field = file.ca_file.as_ref()?;
            let message = "the address of this target does not ask for TLS, so nobody would be checked";
            self.tell(Problem::new(&field.at, message).help("write https://, or remove `ca_file`"));
        }
        Some(NotifyTarget { on, channel, authorities })
    }

    fn channel(&mut self, file: &file::NotifyTarget) -> Option<Channel> {
        if let Some(field) = &file.webhook {
            let webhook = field.get()?;
            let url = self.required_address(&field.at, webhook.url.as_ref());
            let secret = self.held(&field.at, "secret", webhook.secret.as_ref(), webhook.secret_file.as_ref());
            let secret = secret.and_then(|(at, text)| self.webhook_secret(&at, text));
            return Some(Channel::Webhook { url: url?, secret: secret? });
        }
        if let Some(field) = &file.slack {
            let slack = field.get()?;
            let (at, text) = self.held(&field.at, "url", slack.url.as_ref(), slack.url_file.as_ref())?;
            let value = self.address_of(&at, &text.value)?;
            return Some(Channel::Slack { url: Held { value, file: text.file } });
        }
        if let Some(field) = &file.alertmanager {
            let url = self.required_address(&field.at, field.get()?.url.as_ref())?;
            return Some(Channel::Alertmanager { url });
        }
        let field = file.pagerduty.as_ref()?;
        let pagerduty = field.get()?;
        let (key, key_file) = (pagerduty.routing_key.as_ref(), pagerduty.routing_key_file.as_ref());
        let routing_key = self.held(&field.at, "routing_key", key, key_file);
        let routing_key = routing_key.and_then(|(at, text)| self.routing_key(&at, text));
        let url = match &pagerduty.url {
            Some(field) => self.address_of(&field.at, field.get()?),
            None => Address::parse(PAGERDUTY_URL).ok(),
        };
        Some(Channel::PagerDuty { routing_key: routing_key?, url: url? })
    }

    /// What stands here as `key` or in the file of `key_file`, exactly one of them, with its place.
    pub(super) fn held(
        &mut self,
        at: &Range<usize>,
        key: &str,
        here: Option<&At<String>>,
        elsewhere: Option<&At<String>>,
    ) -> Option<(Range<usize>, Held<String>)> {
        match (here, elsewhere) {
            (Some(field), None) => {
                let value = field.get()?.clone();
                Some((field.at.clone(), Held { value, file: None }))
            }
            (None, Some(field)) => {
                let value = self.secret_file(field)?;
                let file = Some(self.path(field.get()?));
                Some((field.at.clone(), Held { value, file }))
            }
            (Some(_), Some(second)) => {
                let message = format!("`{key}` and `{key}_file` stand here both");
                self.tell(Problem::new(&second.at, message).help("remove one of them"));
                None
            }
            (None, None) => {
                self.missing(at, key, &format!("or name a file that holds it: `{key}_file`"));
                None
            }
        }
    }

    fn required_address(&mut self, at: &Range<usize>, field: Option<&At<String>>) -> Option<Address> {
        let Some(field) = field else {
            self.missing(at, "url", "write the address that takes the notices, such as `url: https://HOST/PATH`");
            return None;
        };
        self.address_of(&field.at, field.get()?)
    }

    /// The address may hold a key, so no message repeats it.
    fn address_of(&mut self, at: &Range<usize>, text: &str) -> Option<Address> {
        match Address::parse(text) {
            Ok(address) => {
                if address.is_open_to_the_network() {
                    let origin = address.origin();
                    self.warn(at, &format!("notices go to {origin} unencrypted: write https:// if it takes that"));
                }
                Some(address)
            }
            Err(problem) => {
                let message = format!("the address of this target {problem}");
                self.tell(Problem::new(at, message).help("write https://HOST[:PORT]/PATH"));
                None
            }
        }
    }

    fn webhook_secret(&mut self, at: &Range<usize>, text: Held<String>) -> Option<Held<Secret>> {
        let bytes = text.value.strip_prefix("whsec_").and_then(|base64| STANDARD.decode(base64).ok());
        let Some(bytes) = bytes.filter(|bytes| SECRET_BYTES.contains(&bytes.len())) else {
            self.tell(Problem::new(at, "this is not the secret of a webhook").help(SECRET_HELP));
            return None;
        };
        Some(Held { value: Secret::new(bytes), file: text.file })
    }

    fn routing_key(&mut self, at: &Range<usize>, text: Held<String>) -> Option<Held<Secret>> {
        let well = (20..=64).contains(&text.value.len()) && text.value.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !well {
            let help = "it is the integration key of a service, 32 letters and digits: Events API v2, Integrations";
            self.tell(Problem::new(at, "this is not a routing key of PagerDuty").help(help));
            return None;
        }
        Some(Held { value: Secret::new(text.value), file: text.file })
    }

    pub(super) fn authorities_of_target(&mut self, field: &At<String>) -> Option<Authorities> {
        let pem = self.secret_file(field)?;
        match Authorities::from_pem(self.path(field.get()?), pem) {
            Ok(authorities) => Some(authorities),
            Err(error) => {
                self.tell(Problem::new(&field.at, format!("no server can be checked by this file: {error}")));
                None
            }
        }
    }

    /// In the order of [`Kind::ALL`], each once.
    fn kinds(&mut self, field: Option<&At<Many<At<OneOf<Kind>>>>>, channel: &Channel) -> Vec<Kind> {
        let Some(At { at, value: Some(Many(list)) }) = field else {
            let default = |kind: &Kind| !matches!(kind, Kind::ModeChanged | Kind::Test);
            return Kind::ALL.into_iter().filter(default).collect();
        };
        if list.is_empty() {
            let message = "a target that is told of nothing needs no entry";
            self.tell(Problem::new(at, message).help("leave `on` out for everything but mode_changed"));
        }
        let mut chosen = Vec::new();
        for At { at, value } in list {
            let Some(OneOf(kind)) = value else { continue };
            if chosen.contains(kind) {
                self.tell(Problem::new(at, format!("{} stands here twice", quoted(kind.name()))));
            }
            if channel.keeps_open() && *kind == Kind::ModeChanged {
                let message = format!("a change of mode is nothing that {} could keep open", channel.name());
                self.tell(Problem::new(at, message).help("send it to a webhook or to slack"));
            }
            chosen.push(*kind);
        }
        Kind::ALL.into_iter().filter(|kind| chosen.contains(kind)).collect()
    }
}
