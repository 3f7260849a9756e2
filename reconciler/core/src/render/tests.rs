//! What templates render to. The golden texts are part of the format `bellwether/v1`: they never change.

use bellwether_schemas::DeviceName;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::declare::Subject;
use crate::objects::object_id;
use crate::testing::{Story, labels, name};

const VARS: &str = r#"port: 8080, ratio: 0.5, big: 18446744073709551615, on: true, nothing: null, text: "a<&>\"b",
    list: [1, -2, "3"], map: {zwei: 2, eins: 1}, ports: [80, 443]"#;

/// A fleet with this template, beside files to take contents from.
pub(super) fn story(template: &str) -> Story {
    let fleet = format!("{{selector: {{matchLabels: {{site: kiel}}}}, vars: {{{VARS}}}, template: {template}}}");
    Story::begin(&[
        ("fleets/gateways.yaml", &fleet),
        ("devices/edge-1.yaml", "{labels: {site: kiel, ring: canary}, vars: {port: 9090}}"),
        ("devices/edge-2.yaml", "{labels: {site: kiel}}"),
        ("files/plain", "{{ not a template }}\n"),
        ("files/conf.j2", "port={{ vars.port }}\r\nname={{ device.name }}\n\n"),
        ("files/shared.j2", "site={{ labels.site }}\n"),
        ("files/binary", "\u{0}"),
        ("artifacts/app", "abc"),
    ])
}

fn facts(story: &Story, device: &str) -> Facts {
    story.declared.inventory().subject_facts(&Subject::Device(name(device)))
}

pub(super) fn render_for(story: &Story, device: &str) -> Result<Rendered, RenderError> {
    render_with(story, device, &facts(story, device))
}

fn render_with(story: &Story, device: &str, facts: &Facts) -> Result<Rendered, RenderError> {
    let mut known = HashMap::new();
    let device: DeviceName = name(device);
    let mut contents = Contents::new(&story.repository.objects, &mut known);
    render(&story.fleet("gateways").target, &device, facts, &mut contents)
}

fn text(rendered: &Rendered) -> &str {
    std::str::from_utf8(&rendered.canonical).expect("JSON is UTF-8")
}

/// A template whose one file has this content.
pub(super) fn content(content: &str) -> String {
    format!("{{files: [{{path: /opt/bellwether/f, content: {content:?}}}], probes: none}}")
}

/// What the content of a file renders to for edge-1.
pub(super) fn rendered_content(template: &str) -> Result<String, String> {
    let rendered = render_for(&story(&content(template)), "edge-1").map_err(|error| error.to_string())?;
    let spec = DeviceSpec::from_canonical(&rendered.canonical).expect("a canonical spec");
    Ok(spec.files[0].content.clone().expect("inline content"))
}

/// Why a template cannot be rendered for edge-1.
fn refusal(template: &str) -> String {
    render_for(&story(template), "edge-1").expect_err("refused").to_string()
}

const EVERYTHING: &str = r#"{
    files: [
      {path: "/opt/bellwether/{{ labels.site }}/config.ini", content: "port = {{ vars.port }}\n", mode: "600", owner: "app-{{ labels.ring }}", group: app, overwrite: true},
      {path: /opt/bellwether/plain, source: files/plain, mode: "0644"},
      {path: "/opt/bellwether/{{ fleet }}.conf", source: files/conf.j2, template: true}],
    artifacts: [
      {name: app, source: {path: artifacts/app}, sha256: ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad, length: 3, dest: "/opt/bellwether/app-{{ device.name }}", keep: 3}],
    probes: [
      {exec: {command: [/usr/bin/test, -s, "/opt/bellwether/{{ labels.site }}/config.ini"]}, attempts: 10, timeout: 10s},
      {http: {url: "http://127.0.0.1:{{ vars.port }}/healthz", expectStatus: 204}, initialDelay: 2s},
      {file: {path: "/opt/bellwether/{{ fleet }}.conf"}}]
  }"#;

#[test]
fn a_spec_is_these_bytes_for_ever() {
    let story = story(EVERYTHING);
    let rendered = render_for(&story, "edge-1").expect("it renders");
    let conf = "port=9090\r\nname=edge-1\n\n";
    let sha256 = |content: &str| Sha256Digest::of(content.as_bytes()).to_string();
    let expected = concat!(
        r#"{"apiVersion":"bellwether/v1","#,
        r#""artifacts":[{"dest":"/opt/bellwether/app-edge-1","keep":3,"name":"app","source":{"length":3,"sha256":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}}],"#,
        r#""files":[{"content":"port = 9090\n","group":"app","mode":"0600","overwrite":true,"owner":"app-canary","path":"/opt/bellwether/kiel/config.ini"},"#,
        r#"{"path":"/opt/bellwether/plain","source":{"length":21,"sha256":"PLAIN"}},"#,
        r#"{"path":"/opt/bellwether/gateways.conf","source":{"length":24,"sha256":"CONF"}}],"#,
        r#""probes":[{"attempts":10,"exec":{"command":["/usr/bin/test","-s","/opt/bellwether/kiel/config.ini"]}},"#,
        r#"{"http":{"expectStatus":204,"url":"http://127.0.0.1:9090/healthz"},"initialDelay":"2s"},"#,
        r#"{"file":{"path":"/opt/bellwether/gateways.conf"}}]}"#,
    );
    let expected = expected.replace("PLAIN", &sha256("{{ not a template }}\n")).replace("CONF", &sha256(conf));
    assert_eq!(text(&rendered), expected);
    assert_eq!(rendered.digest, Sha256Digest::of(expected.as_bytes()));

    // Its publication needs each target once, with the place to take it from.
    let blob = |content: &[u8]| Content::Blob(object_id(ObjectKind::Blob, content));
    let mut targets = vec![
        (TargetRef::to(b"abc"), blob(b"abc")),
        (TargetRef::to(b"{{ not a template }}\n"), blob(b"{{ not a template }}\n")),
        (TargetRef::to(conf.as_bytes()), Content::Text(conf.into())),
    ];
    targets.sort_by_key(|(target, _)| *target);
    assert_eq!(rendered.targets, targets);
}

#[test]
fn the_smallest_template_renders_to_the_smallest_spec() {
    let rendered = render_for(&story("{probes: none}"), "edge-1").expect("it renders");
    assert_eq!(text(&rendered), r#"{"apiVersion":"bellwether/v1"}"#);
    assert_eq!(rendered.targets, []);
}

#[test]
fn values_are_written_like_this_for_ever() {
    for (template, expected) in [
        ("plain { text }", "plain { text }"),
        (r#"{"a": {"b": 1}}"#, r#"{"a": {"b": 1}}"#),
        ("{% raw %}{{ kept }}{% endraw %}", "{{ kept }}"),
        ("{{ device.name }} {{ fleet }}", "edge-1 gateways"),
        ("{{ labels.site }} {{ labels['ring'] }}", "kiel canary"),
        ("{{ vars.port }}", "9090"),
        ("{{ vars.ratio }} {{ vars.big }} {{ vars.on }} {{ vars.nothing }}", "0.5 18446744073709551615 true null"),
        ("{{ vars.text }}", "a<&>\"b"),
        ("{{ vars.list }} {{ vars.map }}", r#"[1,-2,"3"] {"eins":1,"zwei":2}"#),
        ("{% for key in vars.map %}{{ key }}={{ vars.map[key] }};{% endfor %}", "eins=1;zwei=2;"),
        (
            "{% for p in vars.ports %}{{ loop.index }}:{{ p }}{% if not loop.last %},{% endif %}{% endfor %}",
            "1:80,2:443",
        ),
        ("{% if labels.ring == 'canary' %}c{% else %}b{% endif %}", "c"),
        ("{% set x = vars.port + 1 %}{{ x }}", "9091"),
        ("a\n{# nobody sees this #}\nb\n", "a\n\nb\n"),
        ("{{ vars.text|upper|replace('A', 'x')|lower }}", "x<&>\"b"),
        ("[{{ '  x '|trim }}]", "[x]"),
        ("{{ vars.ports|join('-') }}", "80-443"),
        ("{{ labels.rack|default('none at all') }}", "none at all"),
        ("[{{ 'a' if labels.ring == 'x' }}]", "[]"),
        ("{{ [vars.on, vars.nothing] }} {{ vars.on ~ '' }} {{ [vars.on]|join }}", "[true,null] True True"),
        ("{{ vars.ports[0] / 3 }} {{ 7 // 2 }} {{ 1.0 }}", "26.666666666666668 3 1.0"),
        ("\r\n{{ fleet }}\r\n", "\r\ngateways\r\n"),
    ] {
        assert_eq!(rendered_content(template).as_deref(), Ok(expected), "{template}");
    }
}

#[test]
fn a_value_is_never_a_template_itself() {
    let story = story(&content("{{ labels.site }}"));
    let hostile = Facts { labels: labels(&[("site", "{{ device.name }}{% for")]), vars: Vars::new() };
    let rendered = render_with(&story, "edge-1", &hostile).expect("it renders");
    assert!(text(&rendered).contains("{{ device.name }}{% for"), "{}", text(&rendered));
}

#[test]
fn the_language_is_small_and_fixed() {
    for template in [
        "{{ range(3) }}",
        "{{ dict() }}",
        "{{ debug() }}",
        "{{ namespace() }}",
        "{{ vars.text|safe }}",
        "{{ vars.text|tojson }}",
        "{{ vars.list|length }}",
        "{{ vars.list|sort }}",
        "{{ vars.list|random }}",
        "{% if vars.port is defined %}{% endif %}",
        "{% include 'files/plain' %}",
        "{% extends 'files/plain' %}",
        "{% import 'files/plain' as x %}",
        "{% macro m() %}{% endmacro %}",
        "{{ labels.site.upper() }}",
    ] {
        let why = rendered_content(template).expect_err(template);
        assert!(why.starts_with("files[0].content: "), "{template}: {why}");
    }
}

#[test]
fn a_mistake_names_its_field() {
    let file = |fields: &str| format!("{{files: [{{path: /opt/a, content: x}}, {{{fields}}}], probes: none}}");
    for (template, place) in [
        (file("path: /opt/b, content: '{{ labels.rack }}'"), "files[1].content"),
        (file("path: '/opt/{{ labels.rack }}', content: x"), "files[1].path"),
        (file("path: /opt/b, content: x, owner: '{{ vars.nobody }}'"), "files[1].owner"),
        (file("path: /opt/b, content: x, group: '{{ nothing }}'"), "files[1].group"),
        (file("path: /opt/b, content: '{% if %}'"), "files[1].content"),
        (file("path: /opt/b, source: files/none"), "files[1].source"),
        (file("path: /opt/b, source: files/none, template: true"), "files[1].source"),
        ("{probes: [{exec: {command: [/bin/true, '{{ labels.rack }}']}}]}".to_owned(), "probes[0].exec.command"),
        ("{probes: [{http: {url: 'http://127.0.0.1/{{ labels.rack }}'}}]}".to_owned(), "probes[0].http.url"),
        ("{probes: [{file: {path: '/opt/{{ labels.rack }}'}}]}".to_owned(), "probes[0].file.path"),
    ] {
        let why = refusal(&template);
        assert!(why.starts_with(&format!("{place}: ")), "{why}");
    }
}

#[test]
fn an_undefined_value_is_an_error_wherever_it_is_used() {
    for template in [
        "{{ vars.prot }}",
        "{{ labels.a.b }}",
        "{{ vars.ports[7] }}",
        "{{ 'a' ~ vars.prot }}",
        "{{ [1, [vars.prot]] }}",
        "{{ {'a': vars.prot} }}",
        "{{ vars.prot|upper }}",
        "{{ vars.prot|join(',') }}",
        "{{ [vars.prot]|join(',') }}",
        "{{ 'x' in vars.prot }}",
        "{% if vars.prot %}{% endif %}",
        "{% if vars.prot == 'x' %}{% endif %}",
        "{% for x in vars.prot %}{% endfor %}",
    ] {
        let error = render_for(&story(&content(template)), "edge-1").expect_err(template);
        assert!(matches!(&error, RenderError::Template { place, .. } if place == "files[0].content"), "{error:?}");
        assert!(error.to_string().contains("undefined"), "{error}");
    }
    assert_eq!(
        refusal("{files: [{path: /opt/a, content: \"one\\ntwo = {{ labels.rack }}\\n\"}], probes: none}"),
        r#"files[0].content: undefined value in "two = {{ labels.rack }}""#,
    );
    // It concerns the device alone: edge-2 lacks the label that edge-1 has.
    let story = story(&content("{{ labels.ring }}"));
    assert!(render_for(&story, "edge-1").is_ok());
    assert!(render_for(&story, "edge-2").is_err());
}

#[test]
fn a_loop_that_takes_too_long_ends() {
    let list = vec!["x"; 101].join(", ");
    let endless =
        "{% for a in vars.l %}{% for b in vars.l %}{% for c in vars.l %}{{ c }}{% endfor %}{% endfor %}{% endfor %}";
    let mut story = story(&content(endless));
    story.say("devices/edge-1.yaml", &format!("{{labels: {{site: kiel}}, vars: {{l: [{list}]}}}}")).land();
    let why = render_for(&story, "edge-1").expect_err("too long").to_string();
    assert!(why.starts_with("files[0].content: ") && why.contains("fuel"), "{why}");
}

#[test]
fn a_path_cannot_escape_by_rendering() {
    let story = story("{files: [{path: '/opt/bellwether/{{ vars.dir }}/f', content: x}], probes: none}");
    let with = |dir: &str| {
        let vars = Vars::from([("dir".to_owned(), json!(dir))]);
        render_with(&story, "edge-1", &Facts { labels: labels(&[]), vars })
    };
    assert!(with("a/b").is_ok());
    for dir in ["..", "a/../..", ".", "", "/etc", "a//b", "a\nb", "a\0b", &"a".repeat(256)] {
        let error = with(dir).expect_err(dir);
        assert!(matches!(&error, RenderError::Value { place, .. } if place == "files[0].path"), "{error:?}");
    }
}

#[test]
fn what_is_read_from_the_repository_must_be_as_said() {
    let artifact = |sha256: &str, length: u64| {
        refusal(&format!(
            "{{artifacts: [{{name: app, source: {{path: artifacts/app}}, sha256: {sha256}, length: {length}, dest: /opt/app}}], probes: none}}"
        ))
    };
    let abc = Sha256Digest::of(b"abc").to_string();
    let other = Sha256Digest::of(b"abd").to_string();
    for why in [artifact(&other, 3), artifact(&abc, 4)] {
        assert!(why.starts_with("artifacts[0].source: artifacts/app has 3 bytes with SHA-256 ba78"), "{why}");
    }
    let missing = "{files: [{path: /opt/a, source: files/none}], probes: none}";
    let short = story(missing).fleet("gateways").target.landing.commit.short();
    assert_eq!(refusal(missing), format!("files[0].source: files/none is not in the repository at {short}"));

    let mut story = story("{files: [{path: /opt/a, source: files/binary, template: true}], probes: none}");
    story.repository.files.insert("files/binary".to_owned(), vec![0xff, 0xfe]);
    story.land();
    let why = render_for(&story, "edge-1").expect_err("not UTF-8").to_string();
    assert_eq!(why, "files[0].source: files/binary is a template and not UTF-8");
}

#[test]
fn a_blob_that_cannot_be_read_is_told_as_such() {
    let mut story = story("{files: [{path: /opt/a, source: files/plain}], probes: none}");
    let blob = object_id(ObjectKind::Blob, b"{{ not a template }}\n");
    story.repository.objects.remove(&blob);
    assert_eq!(render_for(&story, "edge-1"), Err(RenderError::Object(ObjectError::Missing(blob))));
}

#[test]
fn what_contradicts_itself_once_rendered_is_refused() {
    for second in ["/opt/{{ labels.site }}", "/opt/kiel/below"] {
        let template =
            format!("{{files: [{{path: /opt/kiel, content: x}}, {{path: '{second}', content: y}}], probes: none}}");
        let error = render_for(&story(&template), "edge-1").expect_err("contradicts itself");
        assert!(matches!(error, RenderError::Contradiction(_)), "{error:?}");
    }
    let mut story = story(&content("{{ vars.x }}{{ vars.x }}{{ vars.x }}{{ vars.x }}{{ vars.x }}"));
    let long = format!("{{labels: {{site: kiel}}, vars: {{x: {}}}}}", "x".repeat(1_000_000));
    story.say("devices/edge-1.yaml", &long).land();
    assert!(matches!(render_for(&story, "edge-1"), Err(RenderError::TooLong(length)) if length > MAX_SPEC));
}

#[test]
fn modes_are_checked_although_yaml_checked_them_before() {
    let story = story(&content("x"));
    let with = |mode: &str| {
        let mut template = (*story.fleet("gateways").target).clone();
        let mut fleet = (*template.fleet).clone();
        fleet.template.files[0].mode = Some(mode.to_owned());
        template.fleet = Arc::new(fleet);
        let mut known = HashMap::new();
        let mut contents = Contents::new(&story.repository.objects, &mut known);
        render(&template, &name("edge-1"), &Facts::default(), &mut contents)
    };
    assert!(text(&with("755").expect("a mode")).contains(r#""mode":"0755""#));
    for mode in ["4755", "0o755", "rwx", "", "{{ vars.mode }}"] {
        let error = with(mode).expect_err(mode);
        assert!(matches!(&error, RenderError::Value { place, .. } if place == "files[0].mode"), "{error:?}");
    }
}

#[test]
fn devices_with_equal_content_share_a_digest() {
    let shared = story("{files: [{path: /opt/a, source: files/shared.j2, template: true}], probes: none}");
    let (one, two) = (render_for(&shared, "edge-1").expect("renders"), render_for(&shared, "edge-2").expect("renders"));
    assert_eq!(one, two);
    let own = story("{files: [{path: /opt/a, source: files/conf.j2, template: true}], probes: none}");
    let (one, two) = (render_for(&own, "edge-1").expect("renders"), render_for(&own, "edge-2").expect("renders"));
    assert_ne!(one.digest, two.digest);
}

#[test]
fn the_template_commit_gives_content_and_the_head_gives_labels() {
    let mut story = story(&content("{{ labels.site }} {{ vars.port }}"));
    let first = story.fleet("gateways").target.clone();
    story.say("devices/edge-1.yaml", "{labels: {site: kiel}, vars: {port: 1}}").land();
    story.say("fleets/gateways.yaml", "{selector: {matchLabels: {site: kiel}}, template: {probes: none}}").land();
    let mut known = HashMap::new();
    let mut contents = Contents::new(&story.repository.objects, &mut known);
    let rendered = render(&first, &name("edge-1"), &facts(&story, "edge-1"), &mut contents).expect("it renders");
    assert!(text(&rendered).contains("kiel 1"), "{}", text(&rendered));
}

fn any_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        ".{0,8}".prop_map(Into::into)
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(serde_json::Value::from),
            prop::collection::btree_map("[a-z]{1,3}", inner, 0..3)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The same input gives the same bytes, with a cold and with a warm cache; they are a canonical spec; and what the
    /// template does not use changes nothing.
    #[test]
    fn rendering_is_a_function_of_what_the_template_uses(
        site in ".{0,16}", value in any_value(), key in "x[a-z]{0,3}", more in any_value(),
    ) {
        thread_local! {
            static STORY: Story = story(
                "{files: [{path: /opt/a, content: '{{ labels.site }}|{{ vars.used }}|{{ device.name }}'}, \
                  {path: /opt/b, source: files/shared.j2, template: true}, {path: /opt/c, source: files/plain}], probes: none}",
            );
        }
        STORY.with(|story| {
            let facts = Facts { labels: labels(&[("site", &site)]), vars: Vars::from([("used".to_owned(), value)]) };
            let target = &story.fleet("gateways").target;
            let mut known = HashMap::new();
            let mut again = || {
                let mut contents = Contents::new(&story.repository.objects, &mut known);
                render(target, &name("edge-1"), &facts, &mut contents).expect("it renders")
            };
            let first = again();
            prop_assert_eq!(&first, &again());
            let spec = DeviceSpec::from_canonical(&first.canonical).expect("a canonical spec");
            prop_assert_eq!(spec.digest(), first.digest);
            let named: Vec<_> = first.targets.iter().map(|(target, _)| *target).collect();
            prop_assert_eq!(spec.targets().collect::<Vec<_>>(), named);

            let mut unrelated = facts.clone();
            unrelated.vars.insert(key.clone(), more);
            unrelated.labels.insert(key, "unused".to_owned());
            prop_assert_eq!(&first, &render_with(story, "edge-1", &unrelated).expect("it renders"));
            Ok(())
        })?;
    }
}
