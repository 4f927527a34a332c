//! What the benchmarks need and packages do not have: load at a fixed rate, systems that fail when told to, tunnels that echo, and
//! a relay that knows no HTTP.
//!
//! # Why not wrk or h2load
//!
//! Both wait for an answer before they send the next request on a connection, and count its time from there. A proxy that
//! stands still for 100 ms then gets a single bad figure instead of the 2,000 requests that would have waited. Here the
//! moments are fixed beforehand and a latency counts from the moment a request was due ("coordinated omission").
//!
//! Everything runs in one thread over epoll, so that a tool that is pinned to a core costs the same for every proxy.

mod answer;
mod dice;
mod http;
mod poller;
mod relay;
mod system;
mod tunnel;
mod watch;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const USAGE: &str = "usage:
  load rate ADDRESS REQUESTS_PER_SECOND SECONDS CONNECTIONS   requests at fixed moments; ends early, and prints, when stdin does
  load watch ADDRESS,... PATH REQUESTS_PER_SECOND SECONDS CONNECTIONS
                                                              the same over routers in turn, for many users; a line on stdin prints
                                                              who answered since the last
  load system NAME ADDRESS [NAME ADDRESS]...                  answer with their names; stdin says `NAME fail 0.04`, `NAME delay 20ms`, `NAME ok`
  load echo ADDRESS SECONDS TUNNELS                           1 KiB there and back on each tunnel, as fast as it goes
  load origin ADDRESS...                                      echoes what comes after an upgrade
  load relay ADDRESS UPSTREAM...                              joins each connection to the next upstream";

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text} is not a number"))
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("{text} is not an address"))
}

/// Milliseconds since 1970, which is what processes of one machine can compare.
fn unix_ms() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64() * 1_000.0
}

fn run(arguments: &[&str]) -> Result<(), String> {
    let failed = |error: std::io::Error| error.to_string();
    match arguments {
        ["rate", to, rate, seconds, connections] => {
            let plan = http::Plan {
                address: address(to)?,
                rate: number(rate)?.max(1),
                length: Duration::from_secs(number(seconds)?),
                connections: number(connections)?.max(1),
            };
            println!("{}", http::run(&plan).map_err(failed)?);
        }
        ["watch", routers, path, rate, seconds, connections] => {
            let routers: Result<Vec<_>, _> = routers.split(',').map(address).collect();
            let plan = watch::Plan {
                routers: routers?,
                path: (*path).to_owned(),
                rate: number(rate)?.max(1),
                length: Duration::from_secs(number(seconds)?),
                connections: number(connections)?.max(1),
            };
            watch::run(&plan).map_err(failed)?;
        }
        ["system", names @ ..] if !names.is_empty() && names.len().is_multiple_of(2) => {
            let names: Result<Vec<_>, String> = names.chunks(2).map(|pair| Ok((pair[0], address(pair[1])?))).collect();
            system::run(&names?).map_err(failed)?;
        }
        ["echo", to, seconds, tunnels] => {
            let length = Duration::from_secs(number(seconds)?);
            println!("{}", tunnel::echo(address(to)?, length, number(tunnels)?).map_err(failed)?);
        }
        ["origin", addresses @ ..] if !addresses.is_empty() => {
            let addresses: Result<Vec<_>, _> = addresses.iter().map(|text| address(text)).collect();
            tunnel::origin(&addresses?).map_err(failed)?;
        }
        ["relay", listen, upstreams @ ..] if !upstreams.is_empty() => {
            let upstreams: Result<Vec<_>, _> = upstreams.iter().map(|text| address(text)).collect();
            relay::run(address(listen)?, &upstreams?).map_err(failed)?;
        }
        _ => return Err(USAGE.into()),
    }
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
