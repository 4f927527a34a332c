//! Sign-in with OpenID Connect: a provider, a client there, and groups that have roles here.

use std::ops::Range;

use super::super::errors::{Problem, quoted};
use super::super::file;
use super::super::notify::{Address, Held, Secret};
use super::super::read::{At, Entries};
use super::super::units::OneOf;
use super::super::{Oidc, Role};
use super::Building;

const SCOPES_MAX: usize = 32;
const ROLES_MAX: usize = 1_000;
const TEXT_BYTES_MAX: usize = 256;
const LABEL_CHARS_MAX: usize = 60;

/// What a user agent must keep to itself on the way must not be readable on the way.
const ENCRYPTED_HELP: &str = "write https://; http is taken on loopback alone";

impl Building<'_> {
    /// `url` is the dashboard as people reach it, as the file gives it and as it was understood.
    pub(super) fn oidc(
        &mut self,
        field: &At<file::Oidc>,
        url: Option<&At<String>>,
        understood: Option<&str>,
    ) -> Option<Oidc> {
        if !cfg!(feature = "oidc") {
            let message = "this crossfade is built without OpenID Connect";
            let help =
                "build it with `cargo build --release --features oidc`, or remove `oidc` and sign in with tokens";
            self.tell(Problem::new(&field.at, message).help(help));
            return None;
        }
        let file = field.get()?;
        self.way_back(&field.at, url, understood);
        let issuer = self.issuer(&field.at, file.issuer.as_ref());
        let client_id = self.required(&field.at, "client_id", file.client_id.as_ref());
        let client_secret = self.client_secret(&field.at, file);
        let label = file.label.as_ref().map(|field| self.label(field));
        let scopes = self.scopes(file.scopes.as_ref());
        let name_claim = file.name_claim.as_ref().map(|field| self.visible(field, "a claim"));
        let groups_claim = file.groups_claim.as_ref().map(|field| self.visible(field, "a claim"));
        let roles = self.roles(&field.at, file.roles.as_ref());
        let authorities = file.ca_file.as_ref().map(|field| self.authorities_of_target(field));
        let (issuer, host) = issuer?;
        Some(Oidc {
            issuer,
            client_id: client_id?,
            client_secret,
            label: label.flatten().unwrap_or(host),
            scopes,
            name_claim: name_claim.flatten(),
            groups_claim: groups_claim.flatten().unwrap_or_else(|| "groups".into()),
            roles,
            authorities: authorities.flatten(),
        })
    }

    /// The provider sends browsers back to the dashboard, with cookies that they keep under conditions.
    fn way_back(&mut self, at: &Range<usize>, url: Option<&At<String>>, understood: Option<&str>) {
        let Some(url) = url else {
            let help = "write where people reach the dashboard, such as `url: https://crossfade.example.com`, and register that address and /auth/callback with the provider";
            let message = "the provider must know where to send people back: `admin.url` is missing";
            self.tell(Problem::new(at, message).help(help));
            return;
        };
        let Some(address) = understood.and_then(|text| Address::parse(text).ok()) else { return };
        if address.is_open_to_the_network() {
            let message = "browsers keep the cookies of a sign-in on https alone, and here people come by http";
            self.tell(Problem::new(&url.at, message).help(ENCRYPTED_HELP));
        }
        if !matches!(address.uri().path(), "" | "/") {
            let message = "the dashboard is at the root of its host, and this address has a path";
            self.tell(Problem::new(&url.at, message).help(format!("write {}", address.origin())));
        }
    }

    /// The issuer to the letter, and its host.
    fn issuer(&mut self, at: &Range<usize>, field: Option<&At<String>>) -> Option<(String, String)> {
        let Some(field) = field else {
            self.missing(
                at,
                "issuer",
                "write the provider's address as it calls itself, such as `issuer: https://login.example.com/`",
            );
            return None;
        };
        let text = field.get()?;
        let address = match Address::parse(text) {
            Ok(address) if address.uri().query().is_none() => address,
            Ok(_) => {
                self.tell(
                    Problem::new(&field.at, "an issuer has no query").help("write it as the provider calls itself"),
                );
                return None;
            }
            Err(problem) => {
                self.tell(Problem::new(&field.at, format!("the issuer {problem}")).help("write https://HOST/PATH"));
                return None;
            }
        };
        if address.is_open_to_the_network() {
            let message = "whoever is on the way to this issuer could sign in as anybody";
            self.tell(Problem::new(&field.at, message).help(ENCRYPTED_HELP));
        }
        let host = address.uri().host().unwrap_or_default().to_owned();
        Some((text.clone(), host))
    }

    fn client_secret(&mut self, at: &Range<usize>, file: &file::Oidc) -> Option<Held<Secret>> {
        let (here, elsewhere) = (file.client_secret.as_ref(), file.client_secret_file.as_ref());
        if here.is_none() && elsewhere.is_none() {
            return None;
        }
        let (at, Held { value, file }) = self.held(at, "client_secret", here, elsewhere)?;
        if value.is_empty() || value.len() > 4_096 || value.chars().any(char::is_control) {
            let help = "copy it from the provider, or leave the key out for a public client";
            self.tell(
                Problem::new(&at, "this is not a client's secret: it is empty, too long or holds control characters")
                    .help(help),
            );
            return None;
        }
        Some(Held { value: Secret::new(value), file })
    }

    fn required(&mut self, at: &Range<usize>, key: &str, field: Option<&At<String>>) -> Option<String> {
        let Some(field) = field else {
            self.missing(at, key, "write it as the provider gave it to you");
            return None;
        };
        self.visible(field, &format!("a value of `{key}`"))
    }

    /// Visible characters and spaces between them, as providers use them in names.
    fn visible(&mut self, field: &At<String>, what: &str) -> Option<String> {
        let text = field.get()?;
        if text.is_empty() || text.len() > TEXT_BYTES_MAX || text.chars().any(char::is_control) || text.trim() != text {
            self.tell(Problem::new(
                &field.at,
                format!("{} is not {what}: use 1 to {TEXT_BYTES_MAX} visible bytes", quoted(text)),
            ));
            return None;
        }
        Some(text.clone())
    }

    fn label(&mut self, field: &At<String>) -> Option<String> {
        let label = self.visible(field, "a label")?;
        if label.chars().count() > LABEL_CHARS_MAX {
            let message = format!("a button has no room for {} characters", label.chars().count());
            self.tell(Problem::new(&field.at, message).help(format!("use at most {LABEL_CHARS_MAX}")));
        }
        Some(label)
    }

    /// `openid` is what makes it OpenID Connect, so it comes first whether or not it is written.
    fn scopes(&mut self, field: Option<&At<Vec<At<String>>>>) -> Vec<String> {
        let mut scopes = vec![String::from("openid")];
        let Some(At { at, value: Some(list) }) = field else {
            scopes.extend(["profile", "email"].map(String::from));
            return scopes;
        };
        self.bounded(at, list, "scopes", SCOPES_MAX);
        for At { at, value } in list {
            let Some(scope) = value else { continue };
            let is_scope = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
            if scope.is_empty() || scope.len() > TEXT_BYTES_MAX || !scope.bytes().all(is_scope) {
                self.tell(
                    Problem::new(at, format!("{} is not a scope", quoted(scope)))
                        .help("write each as an entry of the list"),
                );
            }
            if !scopes.contains(scope) {
                scopes.push(scope.clone());
            }
        }
        scopes
    }

    fn roles(&mut self, at: &Range<usize>, field: Option<&At<Entries<OneOf<Role>>>>) -> Vec<(String, Role)> {
        let help =
            "write groups and their roles, such as `roles: {sre: admin, developers: operator, everyone: viewer}`";
        let Some(field) = field else {
            self.missing(at, "roles", help);
            return Vec::new();
        };
        let Some(Entries(entries)) = field.get() else { return Vec::new() };
        if entries.is_empty() {
            self.tell(Problem::new(&field.at, "without a group that has a role nobody could sign in").help(help));
        }
        self.bounded(&field.at, entries, "groups", ROLES_MAX);
        let mut roles: Vec<(String, Role)> = Vec::new();
        for (group, role) in entries {
            let (Some(name), Some(OneOf(role))) = (self.visible(group, "a group"), role.get()) else { continue };
            roles.push((name, *role));
        }
        roles
    }
}
