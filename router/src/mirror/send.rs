//! One copy on its way: a connection, the request, and its answer as far as it is kept.
//!
//! # Whose failure it is when a copy is given up
//!
//! What the other side does with a copy is an attempt of that side like any other, and meets what the serving side did. But a
//! copy has less time than a caller would have. So where the side's own time-outs of the file are over it has failed as it would
//! have failed a caller; where only the copy's time is over it counts neither way, as when a caller leaves. That it was late
//! stays seen, by its age while it was under way. A copy that ends early therefore can never make a slow side look broken, and
//! a side that hangs does not look well.
//!
//! Nothing here touches what is known of endpoints: a copy ejects nobody, so that a mirror that fails cannot take an endpoint from callers.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Instant;

use flags::{MigrationIndex, Side};
use metrics::mismatch::NotPaired;
use metrics::observe::MirrorDrop;
use metrics::outcome::Failure;

use super::breaker::Pass;
use super::budget::Place;
use super::copy::Copy;
use super::joint::{Given, Joint, Part, Reading};
use super::tee::{Lost, Tee};
use super::wants_body;
use crate::attempts::Attempt;
use crate::body::{BodyError, Filled, Inbound, Outbound};
use crate::buffers::BUFFER_BYTES;
use crate::forward;
use crate::h1::conn::Conn;
use crate::h1::framing::Framing;
use crate::h1::head::ResponseHead;
use crate::h1::interims::Pace;
use crate::timer::Timer;
use crate::upstream::{Purpose, Upstream, asks_to_sign_in};
use crate::worker::{Tables, Worker};

/// What is read and hashed of an answer before callers have their turn.
const TURN_BYTES: u64 = BUFFER_BYTES as u64;

/// A copy with all that it needs to be sent by a task of its own.
pub(crate) struct Sending {
    pub(crate) worker: Rc<Worker>,
    pub(crate) tables: Rc<Tables>,
    pub(crate) at: MigrationIndex,
    pub(crate) side: Side,
    pub(crate) part: Part,
    pub(crate) copy: Copy,
    pub(crate) joint: Rc<Joint>,
    /// None where it says nothing of its side.
    pub(crate) attempt: Option<Attempt>,
    /// None where no breaker was asked.
    pub(crate) pass: Option<Pass>,
    pub(crate) place: Place,
    pub(crate) since: Instant,
    /// Its answer waits for the caller's.
    pub(crate) waits: Cell<bool>,
}

/// How a copy ended without an answer.
#[derive(Debug)]
enum Unanswered {
    /// It had waited for too long before it could be sent.
    Aged,
    /// The side did to it what it would have done to a caller.
    Failed(Failure),
    /// Only its own time was over.
    GivenUp,
}

impl From<Failure> for Unanswered {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Sending {
    pub(crate) async fn run(self) {
        let time = self.joint.pipeline.settings.timeout;
        let answered = match tokio::time::timeout(time, self.exchange()).await {
            Ok(answered) => answered,
            Err(_) => Err(Unanswered::GivenUp),
        };
        let Self { side, part, joint, attempt, pass, place, waits, .. } = self;
        let (now, cells) = (Instant::now(), &joint.cells);
        let was_sent = !matches!(answered, Err(Unanswered::Aged | Unanswered::Failed(Failure::NoEndpoint)));
        if was_sent {
            cells.mirror_finished(side, answered.is_ok());
        }
        if let Some(pass) = pass
            && (was_sent || pass == Pass::Try)
        {
            // A side that had to wait for the other one has answered.
            let is_silent = answered.is_err() && !waits.get();
            let opens = joint.pipeline.breaker.ended(pass, is_silent, joint.pipeline.now());
            if opens {
                super::opened(&joint);
            }
        }
        drop(place);
        let failed = if side == Side::Legacy { NotPaired::LegacyFailed } else { NotPaired::NewFailed };
        let (outcome, why) = match answered {
            Ok((status, given)) => {
                joint.arrive(part, given);
                (Some(Ok(status)), None)
            }
            Err(Unanswered::Aged) => {
                joint.dropped(MirrorDrop::Age);
                (None, Some(NotPaired::Age))
            }
            Err(Unanswered::Failed(Failure::NoEndpoint)) => {
                joint.dropped(MirrorDrop::NoEndpoint);
                (Some(Err(Failure::NoEndpoint)), Some(NotPaired::NoEndpoint))
            }
            Err(Unanswered::Failed(failure)) => (Some(Err(failure)), Some(failed)),
            Err(Unanswered::GivenUp) => (None, Some(NotPaired::TimedOut)),
        };
        // An attempt without an outcome is one that nobody waited for.
        if let Some((attempt, outcome)) = attempt.zip(outcome) {
            attempt.end(outcome, now);
        }
        if let Some(why) = why
            && part != Part::Again
        {
            joint.miss(why);
        }
    }

    /// What the side did with the copy: its status, and what is kept of the answer.
    async fn exchange(&self) -> Result<(u16, Result<Given, Lost>), Unanswered> {
        let settings = &self.joint.pipeline.settings;
        if self.since.elapsed() > settings.age {
            return Err(Unanswered::Aged);
        }
        let upstream = Rc::clone(&self.tables.upstreams[self.tables.migration(self.at).upstream(self.side)]);
        let in_flight = upstream.enter(self.worker.chance(), None).ok_or(Failure::NoEndpoint)?;
        self.joint.cells.mirrored(self.side);
        let endpoint = Rc::clone(&in_flight.endpoint);
        let mut answer = ResponseHead::default();
        let idle = endpoint.take_idle(Purpose::Mirror, Instant::now());
        let was_idle = idle.is_some();
        let connect = async || {
            let mut timer = Timer::new(upstream.state.settings.connect_timeout);
            let connecting = forward::connect(&self.worker, &upstream, &in_flight, self.attempt.as_ref(), &mut timer);
            match tokio::time::timeout(settings.connect_timeout, connecting).await {
                Ok(connected) => connected.map_err(|error| error.failure().unwrap_or(Failure::Connect).into()),
                Err(_) => Err(Unanswered::GivenUp),
            }
        };
        let mut conn = match idle {
            Some(conn) => conn,
            None => connect().await?,
        };
        let mut asked = self.ask(&upstream, &mut conn, &mut answer).await;
        let was_closed = matches!(asked, Err(Failure::Reset)) && conn.pending().is_empty()
            || asked.is_ok() && forward::is_for_silence(&answer);
        // A write is sent again only where nothing of it was.
        let is_repeatable = self.copy.is_safe || conn.written == 0;
        if was_idle && was_closed && is_repeatable {
            conn = connect().await?;
            asked = self.ask(&upstream, &mut conn, &mut answer).await;
        }
        let is_early = asked?;
        let body = self.read(&mut conn, &answer).await.map_err(|_| Failure::Truncated)?;
        if conn.has_received() && !is_early && !self.copy.is_last && !asks_to_sign_in(&answer) {
            endpoint.keep(conn, Purpose::Mirror, &answer, Instant::now());
        }
        Ok((answer.status, Given::new(&answer, body.end(), settings.version_header.as_deref())))
    }

    /// Sends the copy and waits for the head of its answer as long as a caller would; whether that began before all was sent.
    async fn ask(&self, upstream: &Upstream, conn: &mut Conn, answer: &mut ResponseHead) -> Result<bool, Failure> {
        let patience = upstream.state.settings.first_byte_timeout;
        let asking = self.ask_patiently(conn, answer);
        if patience >= self.joint.pipeline.settings.timeout {
            return asking.await;
        }
        tokio::time::timeout(patience, asking).await.unwrap_or(Err(Failure::Timeout))
    }

    async fn ask_patiently(&self, conn: &mut Conn, answer: &mut ResponseHead) -> Result<bool, Failure> {
        let copy = &self.copy;
        conn.begin_send(copy.framing).extend_from_slice(&copy.head);
        conn.begin_receive(Framing::None);
        let body = copy.body.as_ref().map_or(&[][..], |body| &body.bytes);
        let (mut sent, mut is_early) = (0, false);
        let sending = poll_fn(|cx| {
            while sent < body.len() {
                is_early |= sent > 0 && conn.is_disturbed();
                // In pieces, so that a peer that reads slowly is not handed the whole at once.
                let end = body.len().min(sent + BUFFER_BYTES);
                sent += std::task::ready!(conn.poll_send(cx, &body[sent..end]))?;
            }
            conn.poll_finish(cx, &[])
        });
        sending.await.map_err(|_| Failure::Reset)?;
        let mut pace = Pace::behind(body.len());
        poll_fn(|cx| {
            loop {
                let parsed = answer.parse(conn.pending(), copy.to_head, &self.tables.head_limits);
                if let Some(length) = parsed.map_err(|_| Failure::Protocol)? {
                    conn.take_head(length, &mut answer.bytes);
                    if answer.is_interim() {
                        if !pace.takes(Instant::now(), 0) {
                            return Poll::Ready(Err(Failure::Protocol));
                        }
                        continue;
                    }
                    conn.begin_receive_answer(answer.framing);
                    // A copy asks for no upgrade.
                    return Poll::Ready(if answer.status == 101 { Err(Failure::Protocol) } else { Ok(is_early) });
                }
                match std::task::ready!(conn.poll_read(cx)) {
                    Ok(read) if read > 0 => {}
                    Ok(_) | Err(_) => return Poll::Ready(Err(Failure::Reset)),
                }
            }
        })
        .await
    }

    /// Reads the answer as far as it is kept; what is longer is left, and its connection closes.
    async fn read(&self, conn: &mut Conn, answer: &ResponseHead) -> Result<Tee, BodyError> {
        let held = self.joint.pipeline.budget.nothing();
        let comparer = &self.worker.comparer;
        let tee = if wants_body(answer) { Tee::of_answer(answer, held, comparer) } else { Tee::of_nothing(held) };
        let (head, mut seen) = (Instant::now(), 0);
        // What is said to be too long is not read at all.
        let announced = if let Framing::Length(length) = answer.framing { length } else { 0 };
        let reading = poll_fn(|cx| {
            let begun = seen;
            loop {
                let worth = self.joint.poll_worth(cx, if seen == 0 { announced } else { seen });
                self.waits.set(worth.is_pending());
                if std::task::ready!(worth) == Reading::Enough {
                    tee.leave();
                    return Poll::Ready(Ok(()));
                }
                match std::task::ready!(conn.poll_fill(cx))? {
                    Filled::End => return Poll::Ready(Ok(())),
                    Filled::Data => {
                        let data = conn.data();
                        let bytes = data.len();
                        tee.saw(data);
                        conn.consume(bytes);
                        seen += bytes as u64;
                    }
                }
                if seen > BUFFER_BYTES as u64 {
                    self.attempt.iter().for_each(|attempt| attempt.stop(head));
                }
                if tee.is_done() {
                    return Poll::Ready(Ok(()));
                }
                if seen - begun >= TURN_BYTES {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
        });
        reading.await.map(|()| tee)
    }
}
