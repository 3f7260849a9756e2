use axum::body::{Body, to_bytes};
use bellwether_schemas::api::{
    ClaimKind, Conflict, DecisionView, DeviceStatus, FleetView, InvalidView, MissingCommit, RolloutView, Stand,
    StatusWord, WaitingOn, Waits, WaveView,
};
use bellwether_schemas::{CommitId, Version, codes};
use tower::ServiceExt as _;

use super::*;

fn at() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().expect("a time")
}

fn commit() -> CommitId {
    "9f3c2ab000000000000000000000000000000001".parse().expect("an id")
}

fn device(name: &str, updated: Updated, why: &str) -> DeviceView {
    let version = Version { landing: 411, commit: commit(), revision: 0 };
    DeviceView {
        name: name.parse().expect("a name"),
        enrollment: "lab".parse().expect("a name"),
        entry: "t1".parse().expect("an id"),
        fleet: Some("edge".parse().expect("a name")),
        labels: [("ring".to_owned(), "canary".to_owned())].into_iter().collect(),
        version: Some(version),
        digest: None,
        offered: None,
        target: None,
        status: DeviceStatus {
            summary: StatusWord { status: Summary::Online },
            updated: StatusWord { status: updated },
        },
        reason: (updated != Updated::UpToDate).then_some(WaitingOn::AwaitingReconnect),
        why: why.to_owned(),
        conflict: None,
        waits: None,
        origin: None,
        decided: decided(),
        last_seen: Some(at()),
        allows: None,
    }
}

fn landing() -> CommitView {
    CommitView {
        commit: commit(),
        landing: 412,
        signers: vec!["alice".parse().expect("a name")],
        summary: "Raise the limit".into(),
        committed: at(),
    }
}

fn decided() -> Vec<DecisionView> {
    vec![DecisionView { file: "holds/a.yaml".into(), says: "stops offers".into(), origin: Some(landing()) }]
}

fn views() -> Views {
    let head = landing();
    let wave = |name: &str, open, healthy, failed| WaveView {
        name: name.parse().expect("a name"),
        open,
        done: false,
        members: 2,
        offered: healthy + failed,
        healthy,
        failed,
        reason: None,
        why: (!open).then(|| "Waits for wave canary.".to_owned()),
        waits: (!open).then(|| Waits {
            since: Some(at()),
            rule: Some("rollouts/edge.yaml: waves, broad".into()),
            ends: Some("when wave canary has advanced".into()),
        }),
    };
    Views {
        ready: true,
        at: Some(at()),
        repository: Some(RepositoryView {
            url: "https://git.example/fleet.git".into(),
            branch: "main".into(),
            head: Some(head.clone()),
            condition: Condition::Verified,
            why: "verified up to v412".into(),
        }),
        fleets: vec![FleetView {
            name: "edge".parse().expect("a name"),
            template: commit(),
            landing: 412,
            stable: None,
            devices: 2,
            up_to_date: 1,
            invalid: vec![],
        }],
        rollouts: vec![RolloutView {
            fleet: "edge".parse().expect("a name"),
            commit: commit(),
            landing: 412,
            state: RolloutState::Progressing,
            waves: vec![wave("canary", true, 1, 1), wave("broad", false, 0, 0)],
            reason: None,
            why: "wave canary soaks until 03:34".into(),
            waits: Some(Waits {
                since: Some(at()),
                rule: Some("rollouts/edge.yaml: waves, canary, soak".into()),
                ends: Some("at 03:34".into()),
            }),
            origin: Some(head.clone()),
            decided: decided(),
            next: None,
        }],
        devices: vec![
            device("edge-1", Updated::UpToDate, "runs its target"),
            device("edge-2", Updated::OutOfDate, "waits for wave canary"),
        ],
        commits: vec![head],
        invalid: vec![],
    }
}

fn ending(until: &str) -> End {
    let until = until.parse().expect("a time");
    let advice = Advice { text: "Replace it.".into(), command: Some("bellwether keys rotate".into()) };
    End { label: "root", what: "TUF root", until, why: format!("It ends at {until}."), advice }
}

#[test]
fn what_ends_soon_is_shown_first() {
    let (views, ends) = (views(), [ending("2027-01-02T03:04:05Z")]);
    let html = overview_of(&views, (&[], &ends), "").render().expect("a page");
    let todo = html.find("TUF root ends soon").expect("it is there");
    assert!(html.contains("bellwether keys rotate") && todo < html.find("<h2>").expect("sections"), "{html}");
}

fn router_of(views: Views) -> Router {
    let (_, views) = watch::channel(Arc::new(views));
    let ends: Ends = Arc::new(|| vec![ending("2056-01-02T03:04:05Z")]);
    let waiting = Waiting { requests: Arc::default(), admissions: watch::channel(None).1, ends };
    router(Page::new(views, Arc::default(), Arc::default(), waiting), Router::new())
}

async fn get(views: Views, path: &str) -> (u16, http::HeaderMap, String) {
    let request = http::Request::get(path).body(Body::empty()).expect("a request");
    let answer = router_of(views).oneshot(request).await.expect("infallible");
    let (parts, body) = answer.into_parts();
    let body = to_bytes(body, usize::MAX).await.expect("a body");
    (parts.status.as_u16(), parts.headers, String::from_utf8(body.to_vec()).expect("text"))
}

#[tokio::test]
async fn the_overview_shows_what_is_and_why() {
    let (status, headers, html) = get(views(), "/").await;
    assert_eq!(status, 200);
    assert_eq!(headers["content-security-policy"], POLICY);
    assert_eq!(headers["x-content-type-options"], "nosniff");
    insta::assert_snapshot!("overview", html);
}

#[tokio::test]
async fn an_empty_reconciler_says_what_to_do() {
    insta::assert_snapshot!("empty", get(Views::default(), "/").await.2);
}

#[tokio::test]
async fn a_device_that_is_at_its_target_and_ill_waits_for_people() {
    let mut views = views();
    let ill = &mut views.devices[0];
    ill.status.summary.status = Summary::Degraded;
    ill.reason = Some(WaitingOn::Unhealthy { version: ill.version.expect("it runs one") });
    let (_, _, html) = get(views, "/").await;
    assert!(html.contains("One device unhealthy") && html.contains("names the probe"), "{html}");
}

#[tokio::test]
async fn a_device_has_a_page_of_its_own() {
    insta::assert_snapshot!("device", get(views(), "/devices/edge-2").await.2);
    let (status, _, html) = get(views(), "/devices/%3Cscript%3E").await;
    assert_eq!(status, 404);
    assert!(!html.contains("<script>") && html.contains("#60;script"), "{html}");
}

#[tokio::test]
async fn metrics_count_by_word() {
    insta::assert_snapshot!("metrics", get(views(), "/metrics").await.2);
}

/// edge-1 runs a commit that is missing and applies another; edge-2 runs the first one too.
fn in_conflict() -> Views {
    let missing = |commit: CommitId, claim| MissingCommit { commit, landing: 412, claim, stand: Stand::Ahead };
    let other: CommitId = "1111111000000000000000000000000000000002".parse().expect("an id");
    let mut views = views();
    for device in &mut views.devices {
        let code = "BW-0301".to_owned();
        device.reason = Some(WaitingOn::Paused { code, why: "ahead".into(), commit: Some(commit()) });
        device.why = "Paused: ahead.".into();
        device.status.summary.status = Summary::ConflictPaused;
        device.conflict = Some(Conflict { missing: vec![missing(commit(), ClaimKind::Running)] });
    }
    let first = views.devices[0].conflict.as_mut().expect("a conflict");
    first.missing.push(missing(other, ClaimKind::Applying));
    views
}

#[tokio::test]
async fn a_commit_that_several_devices_lack_is_one_entry_and_counted() {
    let views = in_conflict();
    let entries = attention(&views, &[], &[]);
    let shown: Vec<_> = entries.iter().map(|entry| (entry.what.as_str(), entry.why.to_string())).collect();
    assert_eq!(
        shown,
        [
            (
                "2 devices paused",
                format!("All of them report commit {}, which is missing from the git history.", commit())
            ),
            ("One device paused", "Paused: ahead.".to_owned()),
        ]
    );
    let metrics = get(views.clone(), "/metrics").await.2;
    for line in [
        "bellwether_missing_commits 2",
        "bellwether_missing_commit_devices{commit=\"9f3c2ab000000000000000000000000000000001\"} 2",
        "bellwether_missing_commit_devices{commit=\"1111111000000000000000000000000000000002\"} 1",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}: {metrics}");
    }
    let html = get(views, "/devices/edge-1").await.2;
    for text in [
        "which it runs as v412: ahead of the git history",
        "which it is applying as v412",
        "Push the missing commits back",
        "bellwether device resume edge-1 --over 1111111000000000000000000000000000000002,9f3c2ab000000000000000000000000000000001",
    ] {
        assert!(html.contains(text), "{text}: {html}");
    }
}

/// A halt, a branch set back and many devices with one reason: each once, with what can be done.
#[tokio::test]
async fn what_waits_for_people_stands_at_the_top_with_what_they_can_do() {
    let mut views = views();
    let repository = views.repository.as_mut().expect("a repository");
    repository.condition = Condition::Rewound { accepted: commit(), landing: 412, tip: commit(), reset: None };
    repository.why = "The branch was set back.".into();
    let halt = WaitingOn::Halted {
        wave: "canary".parse().expect("a name"),
        failures: 1,
        offered: 2,
        unrendered: 0,
        commit: commit(),
    };
    views.rollouts[0].state = RolloutState::Halted;
    views.rollouts[0].reason = Some(halt);
    let paused = WaitingOn::Paused { code: "BW-0330".into(), why: "ahead".into(), commit: Some(commit()) };
    views.devices = (1..=40)
        .map(|number| {
            let mut device = device(&format!("edge-{number}"), Updated::OutOfDate, "Paused: it is ahead.");
            device.reason = Some(paused.clone());
            device
        })
        .collect();
    let entries = attention(&views, &[], &[]);
    let shown: Vec<_> = entries.iter().map(|entry| (entry.what.as_str(), entry.devices.len() + entry.more)).collect();
    assert_eq!(shown, [("Repository: rewound", 0), ("Rollout of edge: halted", 0), ("40 devices paused", 40)]);
    let html = get(views, "/").await.2;
    for command in ["git push origin 9f3c2ab", "git revert --no-edit 9f3c2ab", "bellwether device resume --all --over"]
    {
        assert!(html.contains(command), "{command}");
    }
    for code in ["BW-0401", "BW-0330"] {
        let told = html.matches(&format!("<code>{code}</code>")).count();
        assert!(told > 1, "{code} at the top and where it is listed: {told}");
    }
}

#[test]
fn words_are_those_that_people_use() {
    assert_eq!(words::plain(&Summary::ConflictPaused), "conflict paused");
    let ago = |seconds| words::ago(&at(), Some(&(at() + jiff::SignedDuration::from_secs(seconds))));
    assert_eq!(
        [-5, 0, 3, 150, 7300, 200_000].map(ago),
        ["now", "now", "3 s ago", "2 min ago", "2 h ago", "2 days ago"]
    );
}

/// What devices, commits and manifests say is text, whatever it looks like.
#[tokio::test]
async fn hostile_text_is_escaped_everywhere() {
    let evil = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>&";
    let mut views = views();
    let repository = views.repository.as_mut().expect("a repository");
    repository.url = evil.into();
    repository.branch = evil.into();
    repository.why = evil.into();
    repository.head.as_mut().expect("a head").summary = evil.into();
    views.commits[0].summary = evil.into();
    views.rollouts[0].why = evil.into();
    views.fleets[0].invalid = vec![evil.into()];
    views.invalid = vec![InvalidView { path: evil.into(), problems: vec![evil.into()] }];
    for device in &mut views.devices {
        device.why = evil.into();
        (device.decided[0].file, device.decided[0].says) = (evil.into(), evil.into());
        device.labels = [(evil.to_owned(), evil.to_owned())].into_iter().collect();
    }
    let query = "/?q=%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E";
    for path in ["/", "/devices/edge-1", query] {
        let (_, _, html) = get(views.clone(), path).await;
        for tag in ["<script", "<img", "\"'>"] {
            assert!(!html.contains(tag), "{path}: {tag}");
        }
        assert!(html.contains("alert(1)"), "{path} shows it as text");
    }
}

#[tokio::test]
async fn the_api_answers_with_the_views() {
    let read = async |path: &str| {
        let (status, headers, body) = get(views(), path).await;
        assert_eq!(headers["content-type"], "application/json");
        (status, serde_json::from_str::<serde_json::Value>(&body).expect("JSON"))
    };
    assert_eq!(read("/api/v1/repository").await.1["head"]["landing"], 412);
    assert_eq!(read("/api/v1/fleets").await.1[0]["name"], "edge");
    assert_eq!(read("/api/v1/rollouts").await.1[0]["waves"][0]["failed"], 1);
    assert_eq!(read("/api/v1/devices").await.1[1]["status"]["updated"]["status"], "OutOfDate");
    assert_eq!(read("/api/v1/devices/edge-1").await.1["reason"], serde_json::Value::Null);
    assert_eq!(read("/api/v1/commits").await.1[0]["signers"][0], "alice");
    assert_eq!(read("/api/v1/invalid").await.1, serde_json::json!([]));
    for (path, status) in [("/api/v1/devices/nobody", 404), ("/api/v1/devices/%FF", 404), ("/api/v2", 404)] {
        let (found, body) = read(path).await;
        assert_eq!((found, body["code"].as_str()), (status, Some("BW-0341")), "{path}");
    }
}

#[test]
fn a_search_finds_by_name_fleet_and_selector_and_waiting_devices_come_first() {
    let views = views();
    for (q, matching) in [
        ("", 2),
        ("edge", 2),
        ("edge-2", 1),
        ("ring=canary", 2),
        ("ring=x", 0),
        ("nothing", 0),
        ("status.updated.status=UpToDate", 1),
        ("status.updated.status!=UpToDate,ring in (canary)", 1),
        ("fleet=west", 0),
    ] {
        let found = overview_of(&views, (&[], &[]), q);
        assert_eq!((found.matching, found.fault), (matching, None), "{q}");
    }
    assert_eq!(overview_of(&views, (&[], &[]), "").devices[0].name.as_str(), "edge-2");
}

#[test]
fn devices_that_are_gone_for_good_are_not_missed_in_the_count() {
    let mut views = views();
    let count = |views: &Views| {
        let overview = overview_of(views, (&[], &[]), "");
        (overview.up_to_date, overview.counted)
    };
    assert_eq!(count(&views), (1, 2));
    for gone in [
        WaitingOn::Decommissioned { at: at() },
        WaitingOn::Revoked { code: codes::DEVICE_REVOKED.to_string(), why: String::new() },
    ] {
        views.devices[1].reason = Some(gone);
        assert_eq!(count(&views), (1, 1));
    }
}

#[tokio::test]
async fn a_count_leads_to_its_devices_and_a_fault_in_a_search_is_shown() {
    let html = get(views(), "/").await.2;
    let link = "href=\"/?q=status.updated.status%3DUpToDate#devices\">1 up to date</a>";
    assert!(html.contains(link), "{html}");
    let html = get(views(), "/?q=status.updated.status%3DUpToDate").await.2;
    assert!(html.contains("1 match “status.updated.status=UpToDate”"), "{html}");
    let html = get(views(), "/?q=ring%3D").await.2;
    assert!(html.contains("0 match"), "a label without a value has the empty one: {html}");
    let html = get(views(), "/?q=status.updated.status%3DUptodate").await.2;
    assert!(
        html.contains("character 23: status.updated.status: found") && html.contains("did you mean UpToDate?"),
        "{html}"
    );
    assert!(html.contains("0 match") && !html.contains("edge-1"), "what cannot be read chooses nobody: {html}");
}

#[tokio::test]
async fn the_api_chooses_by_label_and_field_and_refuses_what_it_cannot_read() {
    let ask = async |query: &str| {
        let (status, _, body) = get(views(), &format!("/api/v1/devices{query}")).await;
        (status, serde_json::from_str::<serde_json::Value>(&body).expect("JSON"))
    };
    for (query, names) in [
        ("", vec!["edge-1", "edge-2"]),
        ("?labelSelector=ring%3Dcanary", vec!["edge-1", "edge-2"]),
        ("?labelSelector=ring%20notin%20(canary)", vec![]),
        ("?fieldSelector=status.updated.status%3DOutOfDate", vec!["edge-2"]),
        ("?fieldSelector=name!%3Dedge-2&labelSelector=ring", vec!["edge-1"]),
    ] {
        let (status, body) = ask(query).await;
        let found: Vec<_> =
            body.as_array().expect("devices").iter().map(|d| d["name"].as_str().expect("a name")).collect();
        assert_eq!((status, found), (200, names), "{query}");
    }
    for (query, says) in [
        ("?labelSelector=", "character 1: it is empty"),
        ("?labelSelector=ring%3Ecanary", "character 5: found '>'"),
        ("?fieldSelector=flet%3Dedge", "did you mean fleet?"),
        ("?labelselector=ring", "labelSelector and fieldSelector may stand here"),
        ("?fieldSelector=name%3Da&fieldSelector=name%3Db", "once each"),
    ] {
        let (status, body) = ask(query).await;
        assert_eq!((status, body["code"].as_str()), (400, Some("BW-0740")), "{query}");
        assert!(body["message"].as_str().is_some_and(|message| message.contains(says)), "{query}: {body}");
    }
}

#[tokio::test]
async fn a_frozen_repository_is_on_page_and_metrics_with_what_can_be_done() {
    let mut views = views();
    let repository = views.repository.as_mut().expect("a repository");
    let max_silence = "7d".parse().expect("a span");
    repository.condition = Condition::Frozen { since: Timestamp::UNIX_EPOCH, max_silence };
    repository.why = bellwether_core::plan::condition_sentence(&repository.condition);
    let entries = attention(&views, &[], &[]);
    assert_eq!((entries[0].class, entries[0].what.as_str()), ("bad", "Repository: frozen"));
    let html = get(views.clone(), "/").await.2;
    for text in ["badge bad\">frozen", "Nobody has signed a commit since", "git commit --allow-empty -S"] {
        assert!(html.contains(text), "{text}: {html}");
    }
    let metrics = get(views, "/metrics").await.2;
    assert!(metrics.contains("bellwether_repository_condition{condition=\"Frozen\"} 1"), "{metrics}");
}

fn asks(seed: &str, facts: &[(&str, &str)]) -> RequestView {
    RequestView {
        fingerprint: Sha256Digest::of(seed.as_bytes()),
        enrollment: "lab".parse().expect("a name"),
        facts: facts.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        address: "192.0.2.7".parse().expect("an address"),
        first_asked: Timestamp::UNIX_EPOCH,
        last_asked: Timestamp::UNIX_EPOCH,
    }
}

#[test]
fn who_waits_for_approval_is_shown_with_the_command_and_never_as_markup() {
    let views = Views::default();
    let requests = [asks("one", &[("os<script>", "<img src=x>\"'&")]), asks("two", &[])];
    let html = overview_of(&views, (&requests, &[]), "").render().expect("rendered");
    let fingerprint = requests[0].fingerprint.to_string();
    assert!(html.contains("2 devices wait for approval"), "{html}");
    assert!(html.contains(&format!("bellwether device approve {fingerprint} --enrollment lab --commit")), "{html}");
    assert!(!html.contains("<script") && !html.contains("<img"), "{html}");
    assert!(html.contains("192.0.2.7") && html.contains(&requests[1].fingerprint.to_string()), "{html}");
    let many: Vec<_> = (0..60).map(|n| asks(&n.to_string(), &[])).collect();
    let html = overview_of(&views, (&many, &[]), "").render().expect("rendered");
    assert_eq!(html.matches("<tr><td><code>").count(), 50);
    assert!(html.contains("The 50 that asked first of 60"), "{html}");
}
