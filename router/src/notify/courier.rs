//! Carries the notices of one target, one after the other, each until it arrived or was given up.
//!
//! # Why in order
//!
//! A release that overtakes its hold closes nothing, and then the hold stays open for ever. So a target that does not answer
//! holds up its own notices, never those of another target, and its queue refuses what it cannot hold.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use metrics::events::{NoticeGivenUp, NoticeRetried, NoticeSent};
use metrics::notice::Notice;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::Label;
use super::message::messages;
use super::retry::{Undelivered, pause};
use super::sender::Sender;
use crate::config::NotifyTarget;

/// How long one that the file no longer names goes on with what it has.
const RETIRED_FOR: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Courier {
    /// Another one when the target moves in the file.
    pub(super) label: Arc<ArcSwap<Label>>,
    pub(super) target: NotifyTarget,
    pub(super) environment: Arc<str>,
}

impl Courier {
    /// Carries until the queue is empty and closed. Once `retired`, each notice that is left gets one more try.
    pub(super) async fn run(self, mut queue: mpsc::Receiver<Arc<Notice>>, mut retired: watch::Receiver<bool>) {
        let by_tls = self.target.channel.url().uri().scheme_str() == Some("https");
        let sender = Sender::new(self.target.authorities.as_ref(), by_tls);
        let mut ends = None;
        while let Some(notice) = queue.recv().await {
            if *retired.borrow() && Instant::now() > *ends.get_or_insert_with(|| Instant::now() + RETIRED_FOR) {
                let problem = Undelivered::Unsendable("the file names its target no longer".into());
                self.given_up(&notice, &problem);
                continue;
            }
            let delivered = match &sender {
                Ok(sender) => self.deliver(sender, &notice, &mut retired).await,
                Err(problem) => Err(problem.clone()),
            };
            match delivered {
                Ok(()) => {
                    let label = self.label.load();
                    NoticeSent { target: &label.name, notice: &notice }.emit(&label.cells);
                }
                Err(problem) => self.given_up(&notice, &problem),
            }
        }
    }

    fn given_up(&self, notice: &Notice, problem: &Undelivered) {
        let (label, problem) = (self.label.load(), problem.to_string());
        NoticeGivenUp { target: &label.name, notice, problem: &problem }.emit(&label.cells);
    }

    async fn deliver(
        &self,
        sender: &Sender,
        notice: &Notice,
        retired: &mut watch::Receiver<bool>,
    ) -> Result<(), Undelivered> {
        for message in messages(&self.target.channel, notice, &self.environment) {
            let again = |problem: &Undelivered, after: Duration| {
                let (label, problem) = (self.label.load(), problem.to_string());
                NoticeRetried { target: &label.name, notice, problem: &problem, after }.emit(&label.cells);
            };
            persist(|| sender.send(&message), again, retired).await?;
        }
        Ok(())
    }
}

/// Tries until it succeeds or must be given up. Whoever is retired meanwhile tries once more, at once.
async fn persist<F: Future<Output = Result<(), Undelivered>>>(
    mut attempt: impl FnMut() -> F,
    again: impl Fn(&Undelivered, Duration),
    retired: &mut watch::Receiver<bool>,
) -> Result<(), Undelivered> {
    let mut tries = 0;
    loop {
        let last = *retired.borrow();
        let Err(problem) = attempt().await else { return Ok(()) };
        tries += 1;
        // Without random numbers the routers of a fleet come back together, which is harmless.
        let pause = pause(&problem, tries, getrandom::u32().unwrap_or(u32::MAX / 2));
        let Some(pause) = pause.filter(|_| !last) else { return Err(problem) };
        again(&problem, pause);
        // The channel closes only when nobody could retire this one any more, and then the pause goes on.
        let retires = async {
            if retired.wait_for(|is| *is).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = retires => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::super::retry::TRIES_MAX;
    use super::*;

    fn busy() -> Undelivered {
        Undelivered::Answered { status: 503, retry_after: None }
    }

    #[tokio::test(start_paused = true)]
    async fn a_target_that_stays_away_is_given_up_after_about_a_quarter_of_an_hour() {
        let (_retire, mut retired) = watch::channel(false);
        let (tries, pauses) = (Cell::new(0), Cell::new(Duration::ZERO));
        let attempt = || {
            tries.set(tries.get() + 1);
            std::future::ready(Err(busy()))
        };
        let begin = Instant::now();
        let result = persist(attempt, |_, pause| pauses.set(pauses.get() + pause), &mut retired).await;
        assert_eq!((result, tries.get()), (Err(busy()), TRIES_MAX));
        assert!(begin.elapsed() >= pauses.get() && pauses.get() > Duration::from_secs(400), "{pauses:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_arrives_late_has_arrived() {
        let (_retire, mut retired) = watch::channel(false);
        let (tries, told) = (Cell::new(0), Cell::new(0));
        let attempt = || {
            tries.set(tries.get() + 1);
            std::future::ready(if tries.get() < 3 { Err(busy()) } else { Ok(()) })
        };
        let result = persist(attempt, |_, _| told.set(told.get() + 1), &mut retired).await;
        assert_eq!((result, tries.get(), told.get()), (Ok(()), 3, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_retired_in_a_pause_tries_once_more_at_once() {
        let (retire, mut retired) = watch::channel(false);
        let tries = Cell::new(0);
        let attempt = || {
            tries.set(tries.get() + 1);
            std::future::ready(Err(busy()))
        };
        let begin = Instant::now();
        let again = |_: &Undelivered, _| _ = retire.send_replace(true);
        assert_eq!((persist(attempt, again, &mut retired).await, tries.get()), (Err(busy()), 2));
        assert_eq!(begin.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_mended_is_not_tried_again() {
        let (_retire, mut retired) = watch::channel(false);
        let refused = Undelivered::Answered { status: 400, retry_after: None };
        let tries = Cell::new(0);
        let attempt = || {
            tries.set(tries.get() + 1);
            std::future::ready(Err(refused.clone()))
        };
        assert_eq!(persist(attempt, |_, _| {}, &mut retired).await, Err(refused.clone()));
        assert_eq!(tries.get(), 1);
    }
}
