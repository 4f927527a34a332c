//! The part of the file that says who signs people in; as the rest of it, everything is optional here.

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::Role;
use super::super::read::{At, Entries};
use super::super::units::OneOf;
use super::Text;

/// Sign-in to the dashboard with OpenID Connect: authorization code with PKCE.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Oidc {
    /// As the provider calls itself, to the letter; its metadata is at ISSUER/.well-known/openid-configuration.
    #[schemars(required)]
    pub(in crate::config) issuer: Text,
    #[schemars(required)]
    pub(in crate::config) client_id: Text,
    /// Left out, as `client_secret_file`, for a public client.
    pub(in crate::config) client_secret: Text,
    /// A file that holds the secret.
    pub(in crate::config) client_secret_file: Text,
    /// What the button says after "Sign in with"; the issuer's host where left out.
    pub(in crate::config) label: Text,
    /// What is asked for; openid, profile and email where left out. openid is always asked for.
    pub(in crate::config) scopes: Option<At<Vec<At<String>>>>,
    /// The claim that names people in the history; preferred_username, else email, else sub where left out.
    pub(in crate::config) name_claim: Text,
    /// The claim that lists groups; `groups` where left out. One inside others by a pointer: /realm_access/roles.
    pub(in crate::config) groups_claim: Text,
    /// Which role a group gives; the highest counts, and whoever has none is refused.
    #[schemars(required)]
    pub(in crate::config) roles: Option<At<Entries<OneOf<Role>>>>,
    /// A PEM file with the authorities that have signed the certificate of the provider; the system's where left out.
    pub(in crate::config) ca_file: Text,
}
