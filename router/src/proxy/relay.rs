//! The answer on its way to the caller, while what is left of the request still goes the other way.
//!
//! What breaks off has to be told apart by whose fault it was, because one of them is counted against its side.

use std::future::poll_fn;
use std::task::Poll;
use std::time::{Duration, Instant};

use crate::attempts::Attempt;
use crate::body::{BodyError, Relay, RelayError};
use crate::buffers::BUFFER_BYTES;
use crate::caller::Caller;
use crate::error::ProxyError;
use crate::forward::{self, Answered};
use crate::mirror::Shadow;
use crate::timer::Timer;

/// Why an answer that had begun did not reach the caller whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// The upstream broke off, or broke the rules.
    Upstream,
    UpstreamSilent,
    Caller,
    /// The rest of the request broke the rules or did not come, for the reason with this code.
    Request(&'static str),
}

impl Broken {
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Upstream => "upstream_truncated",
            Self::UpstreamSilent => "upstream_stalled",
            Self::Caller => "client_closed_request",
            Self::Request(code) => code,
        }
    }

    pub(super) const fn failure(self) -> metrics::outcome::Failure {
        use metrics::outcome::Failure;
        match self {
            Self::Upstream => Failure::Truncated,
            Self::UpstreamSilent => Failure::Timeout,
            Self::Caller | Self::Request(_) => Failure::AbortedByClient,
        }
    }
}

/// Whether an answer is longer than what is at hand at once: it takes as long as its length makes it take.
pub(super) const fn is_long(download: &Relay) -> bool {
    download.bytes > BUFFER_BYTES as u64
}

/// Moves the answer to the caller and the rest of the request to the upstream until the answer is whole.
pub(super) async fn relay_both<C: Caller>(
    caller: &mut C,
    answered: &mut Answered,
    download: &mut Relay,
    timer: &mut Timer,
    observed: Option<&Attempt>,
    shadow: Option<&Shadow>,
    (begun, idle): (Instant, Duration),
) -> Result<(), Broken> {
    let (upload_tee, answer_tee) = (shadow.and_then(Shadow::upload), shadow.and_then(Shadow::answer));
    timer.set_from(begun, idle);
    poll_fn(|cx| {
        let (mut moved, mut refused) = (false, None);
        if !answered.upload.is_finished() && !answered.upload_broken {
            match answered.upload.poll(cx, caller, &mut *answered.conn, &mut moved, upload_tee) {
                Poll::Ready(Err(RelayError::Sink(_))) => answered.upload_broken = true,
                Poll::Ready(Err(RelayError::Source(BodyError::Truncated | BodyError::Io(_)))) => {
                    return Poll::Ready(Err(Broken::Caller));
                }
                // The rest of the request is not forwarded. The answer is, as far as it is there already.
                Poll::Ready(Err(RelayError::Source(error))) => {
                    answered.upload_broken = true;
                    refused = Some(Broken::Request(forward::caller_error(&error).code()));
                }
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
        }
        match download.poll(cx, &mut *answered.conn, caller, &mut moved, answer_tee) {
            Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
            Poll::Ready(Err(RelayError::Source(_))) => return Poll::Ready(Err(Broken::Upstream)),
            Poll::Ready(Err(RelayError::Sink(_))) => return Poll::Ready(Err(Broken::Caller)),
            Poll::Pending if download.waits_for_sink() || is_long(download) => {
                observed.into_iter().for_each(|attempt| attempt.stop(begun));
            }
            Poll::Pending => {}
        }
        // An answer that waits for the rest of the request would wait in vain.
        if let Some(broken) = refused {
            return Poll::Ready(Err(broken));
        }
        if answered.upload.is_finished() && caller.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(Broken::Caller));
        }
        if moved {
            timer.set(idle);
        }
        // A caller that stops reading holds the upstream back, and so does one whose body stops; neither must be held
        // against the upstream.
        let upload = &answered.upload;
        let awaits_caller = !upload.is_finished() && !answered.upload_broken && !upload.waits_for_sink();
        let silent = if download.waits_for_sink() {
            Broken::Caller
        } else if awaits_caller {
            Broken::Request(ProxyError::SlowBody.code())
        } else {
            Broken::UpstreamSilent
        };
        timer.poll(cx).map(|()| Err(silent))
    })
    .await
}
