//! A plan that breaks a rule.

use bellwether_schemas::api::WaitingOn;
use jiff::SignedDuration;

use super::*;
use crate::store::{PlanChange, RolloutRow};

impl Bench {
    /// Somebody changes the record of the fleet in the database.
    async fn rewrite(&mut self, record: serde_json::Value) {
        let RolloutRow { fleet, sequence, .. } = self.outlets.store.load_rollouts().await.expect("read").remove(0);
        let row = RolloutRow { fleet: fleet.clone(), sequence: sequence + 1, record };
        let change = PlanChange { records: [(fleet, row)].into(), ..PlanChange::default() };
        let stored = self.outlets.store.commit_plan(self.world.plan, &change, now()).await;
        self.world.plan = stored.expect("stored");
    }

    async fn pass_at(&mut self, at: Timestamp) {
        let inbox = &mut Inbox { reports: vec![observation(None).0], ..Inbox::default() };
        tick(&mut self.world, &self.outlets, inbox, at).await.expect("a pass");
    }

    fn reason(&self) -> Option<WaitingOn> {
        self.world.reason_of(&"edge-1".parse().expect("a name"))
    }

    async fn told(&self) -> usize {
        let events = self.outlets.store.load_all().await.expect("loaded").events;
        let code = Some(codes::PLAN_UNSOUND.as_str());
        events.iter().filter(|stored| stored.event.code.as_deref() == code).count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_breaks_a_rule_is_not_carried_out_and_the_fleet_is_planned_again_by_what_is_stored() {
    let mut bench = Bench::new().await;
    bench.git.land(&[("fleets/edge.yaml", EDGE)]);
    bench.pass(Inbox { reports: vec![observation(None).0], ..bench.fetched() }).await.expect("a pass");
    let offered = bench.of("edge-1").row.offer.clone();
    assert!(offered.is_some());
    let sound = bench.outlets.store.load_rollouts().await.expect("read").remove(0).record;
    let mut broken = sound.clone();
    let mut second = broken["waves"][0].clone();
    second["name"] = broken["rollout"]["waves"][1]["name"].clone();
    broken["waves"].as_array_mut().expect("waves").push(second);
    bench.rewrite(broken.clone()).await;
    bench.restart().await;

    // What it was offered in time would be withdrawn now, and is left alone.
    let hold = "{fleets: [edge], reason: stop}";
    bench.git.land(&[("holds/stop.yaml", hold)]);
    bench.pass(Inbox { reports: vec![observation(None).0], ..bench.fetched() }).await.expect("a pass");
    let Some(WaitingOn::Unsound { breach }) = bench.reason() else { panic!("{:?}", bench.reason()) };
    assert!(breach.starts_with("a wave opens while "), "{breach}");
    assert_eq!(bench.of("edge-1").row.offer, offered);
    let views = bench.world.views("", true, now());
    let why = &views.rollouts[0].why;
    let said = "The plan of its fleet breaks a rule, and is not carried out: a wave opens while ";
    assert!(why.starts_with(said), "{why}");

    let later = |seconds| now() + SignedDuration::from_secs(seconds);
    assert!(bench.world.wake_at().is_some_and(|at| at <= later(10)));
    bench.pass_at(later(10)).await;
    assert!(matches!(bench.reason(), Some(WaitingOn::Unsound { .. })));
    assert_eq!(bench.told().await, 1, "once is enough");
    bench.rewrite(sound).await;
    bench.pass_at(later(20)).await;
    assert!(matches!(bench.reason(), Some(WaitingOn::Held { .. })), "{:?}", bench.reason());
    assert_eq!(bench.of("edge-1").row.offer, None);

    // A record that stays broken stands in nobody's way for ever.
    bench.rewrite(broken).await;
    bench.restart().await;
    bench.pass_at(later(30)).await;
    assert!(matches!(bench.reason(), Some(WaitingOn::Unsound { .. })));
    bench.git.remove("holds/stop.yaml");
    bench.git.land(&[("fleets/edge.yaml", &EDGE.replace("content: one", "content: two"))]);
    let mut fetched = Inbox { reports: vec![observation(None).0], ..bench.fetched() };
    tick(&mut bench.world, &bench.outlets, &mut fetched, later(40)).await.expect("a pass");
    assert!(matches!(bench.reason(), Some(WaitingOn::InFlight { .. })), "{:?}", bench.reason());
}
