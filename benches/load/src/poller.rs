//! epoll with tokens and a time-out in nanoseconds, which requests at fixed moments need.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

const EVENTS: usize = 256;

pub struct Poller {
    epoll: OwnedFd,
    events: Vec<Event>,
}

impl Poller {
    pub fn new() -> io::Result<Self> {
        // Otherwise the kernel wakes this thread up to 50 us late.
        let _ = std::fs::write("/proc/self/timerslack_ns", "1");
        let nothing = Event { flags: EventFlags::empty(), data: EventData::new_u64(0) };
        Ok(Self { epoll: epoll::create(CreateFlags::CLOEXEC)?, events: vec![nothing; EVENTS] })
    }

    /// Reports `token` while the source is readable, or at its end. A source leaves when it is closed.
    pub fn add(&self, source: impl AsFd, token: usize) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, source, EventData::new_u64(token as u64), EventFlags::IN)?)
    }

    pub fn remove(&self, source: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, source)?)
    }

    /// Waits and puts the tokens that are ready into `ready`.
    pub fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<usize>) -> io::Result<()> {
        let timeout = timeout.map(|time| Timespec {
            tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(time.subsec_nanos()),
        });
        ready.clear();
        let found = match epoll::wait(&self.epoll, &mut self.events[..], timeout.as_ref()) {
            Err(rustix::io::Errno::INTR) => 0,
            other => other?,
        };
        ready.extend(self.events[..found].iter().map(|event| event.data.u64() as usize));
        Ok(())
    }
}
