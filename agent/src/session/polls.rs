//! Single calls in place of a session that does not hold: at the reconciler's heartbeat, and at once when there is news.

use std::pin::pin;
use std::time::Duration;

use bellwether_agent_core::Problem;
use bellwether_schemas::wire::proto::PollResponse;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::{Link, PATIENCE, Renewals, agent_stops, connect, hear, slow};
use crate::state_dir::StateDir;

/// Each call is a handshake: news that come in a hurry are told together.
const APART: Duration = Duration::from_secs(1);

/// The calls that stand in for a session.
pub(super) struct Polls<'a> {
    state: &'a StateDir,
    link: &'a mpsc::Sender<Link>,
    renewals: &'a Renewals,
    /// What the agent wants to be heard of.
    news: watch::Receiver<()>,
    /// When the last call was answered; none while no calls are made: then a session holds, or calls fail as well.
    answered: Option<Instant>,
}

impl<'a> Polls<'a> {
    pub(super) fn new(
        state: &'a StateDir,
        link: &'a mpsc::Sender<Link>,
        renewals: &'a Renewals,
        news: watch::Receiver<()>,
    ) -> Self {
        Self { state, link, renewals, news, answered: None }
    }

    /// Makes a call; whether it was answered, and more may follow.
    pub(super) async fn begin(&mut self) -> bool {
        // What happens from here on may be missing in the report that is made now.
        self.news.mark_unchanged();
        let polled = poll(self.state, self.link, self.renewals).await;
        self.answered = polled.is_ok().then(Instant::now);
        polled.is_ok()
    }

    /// Whether calls stand in for a session now.
    pub(super) fn are_answered(&self) -> bool {
        self.answered.is_some()
    }

    /// A session holds.
    pub(super) fn end(&mut self) {
        self.answered = None;
    }

    /// Goes on with calls until `work` is done: a wait, or opening a session, which takes long where something on the way
    /// swallows it. The first call that is not answered is the last.
    pub(super) async fn beside<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            let Some(answered) = self.answered else { return work.await };
            // The agent's own heartbeat is news. This is for one that has none to tell.
            let heartbeat = self.renewals.heartbeat();
            let latest = answered + heartbeat + heartbeat / 4;
            let wanted = async {
                tokio::select! {
                    Ok(()) = self.news.changed() => sleep_until(answered + APART).await,
                    () = sleep_until(latest) => {}
                }
            };
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = wanted => {}
            }
            self.begin().await;
        }
    }
}

/// Makes a call and passes on what is answered.
pub(super) async fn poll(state: &StateDir, link: &mpsc::Sender<Link>, renewals: &Renewals) -> Result<(), Problem> {
    let (identity, mut server) = connect(state).await?;
    let (sender, receiver) = oneshot::channel();
    link.send(Link::Polling(sender)).await.map_err(agent_stops)?;
    let report = receiver.await.map_err(agent_stops)?;
    let answer = timeout(PATIENCE, server.client.poll(report)).await.map_err(|_| slow(&server.address))?;
    let PollResponse { directives } = answer.map_err(|status| server.refused(&status))?.into_inner();
    link.send(Link::Up).await.map_err(agent_stops)?;
    for message in directives {
        hear(message, link, renewals).await?;
    }
    // After all else: a renewal that hangs or fails keeps nothing back.
    if renewals.is_due() {
        renewals.renew(state, &identity, &mut server).await;
    }
    Ok(())
}
