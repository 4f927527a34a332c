//! Explicit targeting: requests that go to a side because of what they carry.
//!
//! A rule holds when each of its conditions does; the first rule that holds decides. Conditions
//! read the same sources as the sticky key. A rule is reviewed with the file; a single caller is
//! placed by a pin instead.
//!
//! Not here: negation, ranges and shares inside a rule. They made other engines' targeting
//! unreadable, and a second migration or a pin expresses what was needed so far.

use ipnet::IpNet;

use crate::key::{Claims, KeySource, Request};
use crate::migration::Side;

#[derive(Clone, Debug)]
pub struct Rule {
    pub conditions: Vec<Condition>,
    pub serve: Side,
}

/// One source and the values it may have.
#[derive(Clone, Debug)]
pub struct Condition {
    pub source: KeySource,
    pub any_of: AnyOf,
}

#[derive(Clone, Debug)]
pub enum AnyOf {
    /// Compared byte for byte.
    Values(Vec<String>),
    /// Only for `client_ip`: networks or single addresses.
    Networks(Vec<IpNet>),
}

impl Rule {
    /// A rule without conditions would place everybody and never holds.
    pub fn holds(&self, request: &dyn Request, claims: Claims<'_>) -> bool {
        !self.conditions.is_empty() && self.conditions.iter().all(|condition| condition.holds(request, claims))
    }

    pub fn reads_body(&self) -> bool {
        self.conditions.iter().any(|condition| condition.source.reads_body())
    }
}

impl Condition {
    fn holds(&self, request: &dyn Request, claims: Claims<'_>) -> bool {
        match &self.any_of {
            AnyOf::Networks(networks) => {
                let ip = request.client_ip().to_canonical();
                networks.iter().any(|network| network.contains(&ip))
            }
            AnyOf::Values(values) => match &self.source {
                // Every line of the field counts, because a list may be spread over lines.
                KeySource::Header(name) => {
                    let mut found = false;
                    request.headers(name, &mut |value| found |= values.iter().any(|v| v.as_bytes() == value));
                    found
                }
                source => {
                    let read = source.read(request, claims);
                    read.is_some_and(|value| values.iter().any(|v| v.as_bytes() == value.as_ref()))
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::tests::Written;

    fn condition(source: &str, values: &[&str]) -> Condition {
        let values = values.iter().map(ToString::to_string).collect();
        Condition { source: source.parse().unwrap(), any_of: AnyOf::Values(values) }
    }

    #[track_caller]
    fn check(conditions: Vec<Condition>, request: &Written, expected: bool) {
        let rule = Rule { conditions, serve: Side::New };
        assert_eq!(rule.holds(request, Claims::default()), expected, "{rule:?} on {request:?}");
    }

    #[test]
    fn all_conditions_must_hold() {
        let request = Written { headers: vec![("x-group", "beta"), ("x-plan", "pro")], ..Written::default() };
        let group = || condition("header:x-group", &["beta", "staff"]);
        check(vec![group()], &request, true);
        check(vec![group(), condition("header:x-plan", &["pro"])], &request, true);
        check(vec![group(), condition("header:x-plan", &["free"])], &request, false);
        check(vec![condition("header:x-group", &["BETA"])], &request, false);
        check(Vec::new(), &request, false);
    }

    #[test]
    fn a_network_matches_the_canonical_address() {
        let networks = vec!["192.0.2.0/24".parse().unwrap()];
        let inside = Condition { source: KeySource::ClientIp, any_of: AnyOf::Networks(networks) };
        check(vec![inside], &Written::default(), true);
        let networks = vec!["198.51.100.0/24".parse().unwrap()];
        let outside = Condition { source: KeySource::ClientIp, any_of: AnyOf::Networks(networks) };
        check(vec![outside], &Written::default(), false);
    }
}
