//! A request head as routes and decisions see it.

use std::borrow::Cow;
use std::net::IpAddr;

use flags::key::Request;
use flags::route::{Lookup, PathTemplate, normal_form};

use crate::h1::head::RequestHead;

#[derive(Debug)]
pub struct Seen<'a> {
    pub head: &'a RequestHead,
    /// The host of a request that names none, which HTTP/1.0 may.
    pub default_host: &'a str,
    /// The caller's address, trusted proxies looked through.
    pub client: IpAddr,
    /// The template of the matched route, for variables.
    pub template: Option<&'a PathTemplate>,
    pub body: Option<&'a [u8]>,
}

impl Lookup for Seen<'_> {
    fn host(&self) -> &[u8] {
        match self.head.host() {
            [] => self.default_host.as_bytes(),
            named => named,
        }
    }

    fn path(&self) -> &[u8] {
        self.head.path()
    }

    fn method(&self) -> &[u8] {
        self.head.method()
    }

    fn header_is(&self, name: &str, value: &str) -> bool {
        self.head.all(name).any(|own| own == value.as_bytes())
    }
}

impl Request for Seen<'_> {
    fn method(&self) -> &[u8] {
        self.head.method()
    }

    fn header(&self, name: &str) -> Option<&[u8]> {
        self.head.get(name)
    }

    fn headers<'a>(&'a self, name: &str, each: &mut dyn FnMut(&'a [u8])) {
        self.head.all(name).for_each(each);
    }

    fn path_variable(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        match normal_form(self.head.path()) {
            Cow::Borrowed(path) => self.template?.variable(path, name).map(Cow::Borrowed),
            Cow::Owned(path) => self.template?.variable(&path, name).map(|value| Cow::Owned(value.to_vec())),
        }
    }

    fn query(&self) -> Option<&[u8]> {
        self.head.query()
    }

    fn body(&self) -> Option<&[u8]> {
        self.body
    }

    fn client_ip(&self) -> IpAddr {
        self.client
    }

    fn template(&self) -> Option<&PathTemplate> {
        self.template
    }
}
