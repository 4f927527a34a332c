//! How fast one address may send webhooks.
//!
//! An address that has been silent for long is forgotten; when as many are known as may be, all further ones share one
//! allowance, so that a flood of addresses is no way around it.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

use crate::config::issues::SourceRate;

/// Addresses that are told apart.
const SOURCES_MAX: usize = 10_000;

pub(crate) struct Limiter {
    rate: SourceRate,
    clock: DefaultClock,
    /// By address; `None` is everybody who is one too many.
    limiter: RateLimiter<Option<IpAddr>, HashMapStateStore<Option<IpAddr>>, DefaultClock>,
}

impl std::fmt::Debug for Limiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limiter").field("rate", &self.rate).finish_non_exhaustive()
    }
}

impl Limiter {
    pub(crate) fn new(rate: SourceRate) -> Self {
        let count = rate.per_source.count.get();
        let period = rate.per_source.per / count;
        let quota = Quota::with_period(period.max(Duration::from_nanos(1)));
        let quota = quota.unwrap_or_else(|| Quota::per_second(NonZeroU32::MAX)).allow_burst(rate.burst);
        Self { rate, clock: DefaultClock::default(), limiter: RateLimiter::hashmap(quota) }
    }

    pub(crate) fn is_of(&self, rate: SourceRate) -> bool {
        self.rate == rate
    }

    /// Whether this address may send one more now; otherwise after so many seconds.
    pub(crate) fn admit(&self, source: IpAddr) -> Result<(), u64> {
        if self.limiter.len() >= SOURCES_MAX {
            self.limiter.retain_recent();
        }
        let known = self.limiter.len() < SOURCES_MAX;
        self.limiter.check_key(&known.then_some(source)).map_err(|until| {
            let wait = until.wait_time_from(self.clock.now());
            (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn an_address_has_its_burst_and_no_more() {
        let text = "upstreams: {a: {endpoints: [http://h:1]}, b: {endpoints: [http://h:2]}}\nmigrations: [{id: m, legacy: a, new: b, key: client_ip}]\n\
                    routes: [{path: /h, issues: {migration: m, secret: 0123456789, rate: {per_source: 60/h, burst: 3}}}]\n";
        let config = Config::parse("a.yaml", text, std::path::Path::new("/etc")).unwrap();
        let limiter = Limiter::new(config.routes[0].issues.as_ref().unwrap().rate.unwrap());
        let (a, b) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        assert!((0..3).all(|_| limiter.admit(a).is_ok()));
        let wait = limiter.admit(a).unwrap_err();
        assert!((1..=60).contains(&wait), "{wait}");
        assert!(limiter.admit(b).is_ok(), "another address is not to blame");
    }
}
