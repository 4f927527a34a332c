//! The smallest Pingora proxy that splits callers evenly between two upstreams, for `benches/peers`.
//!
//! It does what the other peers do and no more: one thread, a 50 % split by a hash of `X-User-Id`, pooled connections to
//! the upstreams, `X-Forwarded-For`, no log.
//!
//! `pingora-split LISTEN LEGACY NEW`

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use async_trait::async_trait;
use pingora_core::Result;
use pingora_core::server::Server;
use pingora_core::server::configuration::ServerConf;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_http::RequestHeader;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};

struct Split {
    legacy: String,
    new: String,
}

#[async_trait]
impl ProxyHttp for Split {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, session: &mut Session, _: &mut ()) -> Result<Box<HttpPeer>> {
        let mut hasher = DefaultHasher::new();
        session.req_header().headers.get("x-user-id").map(|key| key.as_bytes()).hash(&mut hasher);
        let address = if hasher.finish() % 10_000 < 5_000 { &self.new } else { &self.legacy };
        Ok(Box::new(HttpPeer::new(address.as_str(), false, String::new())))
    }

    async fn upstream_request_filter(&self, session: &mut Session, request: &mut RequestHeader, _: &mut ()) -> Result<()> {
        if let Some(client) = session.client_addr().and_then(|address| address.as_inet()) {
            request.insert_header("X-Forwarded-For", client.ip().to_string())?;
        }
        Ok(())
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (Some(listen), Some(legacy), Some(new)) = (arguments.next(), arguments.next(), arguments.next()) else {
        eprintln!("usage: pingora-split LISTEN LEGACY NEW");
        std::process::exit(2);
    };
    let conf = ServerConf { threads: 1, upstream_keepalive_pool_size: 128, grace_period_seconds: Some(0), ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut service = http_proxy_service(&Arc::clone(&server.configuration), Split { legacy, new });
    service.add_tcp(&listen);
    server.add_service(service);
    server.run_forever();
}
