//! Where the state lives: a file of this router, or a Redis that the fleet shares.

use std::ops::Range;

use flags::store::redis::{Address, Authorities, RedisOptions};

use super::super::StoreConfig;
use super::super::errors::Problem;
use super::super::file;
use super::super::read::At;
use super::Building;
use super::server::text;

impl Building<'_> {
    pub(super) fn store(&mut self, field: Option<&At<file::Store>>) -> StoreConfig {
        let default = StoreConfig::Embedded(self.path("crossfade.redb"));
        let Some(At { at, value: Some(file) }) = field else {
            return default;
        };
        self.store_is_shared = file.redis.is_some() || file.redis_file.is_some();
        let given = [&file.embedded, &file.redis, &file.redis_file].into_iter().flatten().count();
        if given != 1 {
            let message = format!("a store is one of `embedded`, `redis` and `redis_file`, and here are {given}");
            self.tell(Problem::new(at, message).help("leave `store` out for a file beside this one"));
            return default;
        }
        let (at, address) = match (&file.redis, &file.redis_file) {
            (Some(field), _) => (&field.at, field.get().cloned()),
            (None, Some(field)) => (&field.at, self.secret_file(field)),
            (None, None) => {
                self.unused_authorities(file, "a store in a file of its own speaks no TLS");
                return text(file.embedded.as_ref()).map_or(default, |path| StoreConfig::Embedded(self.path(path)));
            }
        };
        let Some(address) = address.and_then(|address| self.redis_address(at, &address)) else {
            return default;
        };
        let authorities = if address.is_tls() {
            file.ca_file.as_ref().and_then(|field| self.authorities(field))
        } else {
            self.unused_authorities(file, "the address of this store does not ask for TLS, so nobody would be checked");
            None
        };
        let ca_file = text(file.ca_file.as_ref()).map(|path| self.path(path));
        StoreConfig::Redis { options: RedisOptions { address, authorities }, ca_file }
    }

    /// The address may hold a password, so no message repeats it.
    fn redis_address(&mut self, at: &Range<usize>, address: &str) -> Option<Address> {
        match Address::parse(address) {
            Ok(address) => Some(address),
            Err(error) => {
                self.tell(Problem::new(at, error.problem).help(format!("write {}", error.form)));
                None
            }
        }
    }

    fn authorities(&mut self, field: &At<String>) -> Option<Authorities> {
        let text = self.secret_file(field)?;
        match Authorities::from_pem(text.into_bytes()) {
            Ok(authorities) => Some(authorities),
            Err(error) => {
                self.tell(Problem::new(&field.at, format!("no server can be checked by this file: {error}")));
                None
            }
        }
    }

    /// Whoever names authorities expects a connection that is encrypted.
    fn unused_authorities(&mut self, file: &file::Store, message: &str) {
        if let Some(field) = &file.ca_file {
            let help = "write rediss://, rediss+sentinel:// or rediss+cluster://, or remove `ca_file`";
            self.tell(Problem::new(&field.at, message).help(help));
        }
    }
}
