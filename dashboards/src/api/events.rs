//! `GET /events`: a stream of what happens, for pages and scripts.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use jiff::Timestamp;
use metrics::events::StreamRefused;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::request::{Identity, Viewer};
use crate::Shared;
use crate::live::{Beginning, Frame, Live, STREAMS_MAX};
use crate::problem::{Code, Problem};

/// How soon a page comes back that has lost its stream.
const RETRY: Duration = Duration::from_secs(1);

/// How often a stream without news looks whether it goes on.
const LOOK_EVERY: Duration = Duration::from_secs(2);

const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Server-sent events: `state` (everything at first, then what changes), `counts` each second, `notice` for whatever moves a migration
/// or stops it, and `bye` before the router ends the stream. `Last-Event-ID` brings the notices since.
#[utoipa::path(
    get, path = "/events", tag = "events", params(("Last-Event-ID" = Option<String>, Header)),
    responses((status = 200, body = String, content_type = "text/event-stream"))
)]
pub(crate) async fn events(
    State(shared): State<Shared>,
    _: Viewer,
    identity: Identity,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let Some(beginning) = Live::begin(&shared, last).await else {
        StreamRefused { most: STREAMS_MAX }.emit(&shared.observer);
        let detail = "too many pages are kept current already: ask /api/v1/migrations every few seconds instead";
        return Err(Problem::new(Code::TooBusy, detail).retry_after(5));
    };
    let Beginning { frames, receiver, place } = beginning;
    let session = identity.session.map(|own| own.id);
    let stream = Stream { shared, session, frames, receiver, is_over: false, _place: place };
    let events = stream::unfold(stream, |mut stream| async {
        let event = stream.next().await?;
        Some((Ok::<_, Infallible>(event), stream))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

/// One page's.
struct Stream {
    shared: Shared,
    /// Whose end ends it.
    session: Option<String>,
    /// What is to be told before anything newer.
    frames: VecDeque<Frame>,
    receiver: Receiver<Frame>,
    is_over: bool,
    _place: OwnedSemaphorePermit,
}

impl Stream {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if self.is_over {
                return None;
            }
            if let Some(why) = self.ends() {
                self.is_over = true;
                return Some(Event::default().event("bye").data(why));
            }
            if let Some(frame) = self.frames.pop_front() {
                let id = self.shared.live.id(&frame);
                return Some(Event::default().id(id).event(frame.event).retry(RETRY).data(&*frame.data));
            }
            match tokio::time::timeout(LOOK_EVERY, self.receiver.recv()).await {
                Ok(Ok(frame)) => self.frames.push_back(frame),
                Ok(Err(RecvError::Lagged(_))) => {
                    let whole = self.shared.live.whole(&self.shared).await;
                    self.frames.push_back(whole);
                }
                Ok(Err(RecvError::Closed)) => return None,
                Err(_nothing_new) => {}
            }
        }
    }

    fn ends(&self) -> Option<&'static str> {
        if self.shared.health.readiness().draining {
            return Some("{\"why\":\"draining\"}");
        }
        let session = self.session.as_ref()?;
        let goes_on = self.shared.sessions.goes_on(session, Timestamp::now());
        (!goes_on).then_some("{\"why\":\"session_over\"}")
    }
}
