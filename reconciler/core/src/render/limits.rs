//! What templates cannot do: take all memory, all of the stack, or more metadata than an agent takes.

use bellwether_schemas::manifest::Vars;
use serde_json::json;

use super::tests::{content, render_for, rendered_content, story};
use super::*;
use crate::declare::Subject;
use crate::testing::{labels, name};

/// Why the content is refused; it never takes long, nor much memory.
fn refusal(template: &str) -> String {
    let why = rendered_content(template).expect_err("refused");
    why.strip_prefix("files[0].content: ").unwrap_or_else(|| panic!("{why}")).to_owned()
}

#[test]
fn what_is_bound_to_a_name_never_grows_without_bound() {
    let forty = |step: &str| step.repeat(40);
    let nested = |step: &str, end: &str| format!("{}x{}", step.repeat(40), end.repeat(40));
    for template in [
        format!("{{% set a = vars.text %}}{}", forty("{% set a = a ~ a %}")),
        format!("{{% set a = vars.text %}}{}", forty("{% set a = a + a %}")),
        format!("{{% set a = vars.list %}}{}", forty("{% set a = a + a %}")),
        format!("{{% set a = 1 %}}{}", forty("{% set a = [a, a] %}")),
        format!("{{% set a = 1 %}}{}", forty("{% set a = (a, a) %}")),
        format!("{{% set a = 1 %}}{}", forty("{% set a = a, a %}")),
        format!("{{% set a = 1 %}}{}", forty("{% set a = {'x': a, 'y': a} %}")),
        format!("{{% set a = 'x' %}}{}", forty("{% set a = a|replace('x', 'xx') %}")),
        format!("{{% set a = 'x' %}}{}", forty("{% set a = a if false else (a ~ a)|default('') %}")),
        format!("{{% set a = 'x' %}}{}", forty("{%- set b = [a, a]|join %}{% set a = b|join -%}")),
        nested("{% for fleet in [fleet ~ fleet] %}", "{% endfor %}"),
        nested("{% for fleet in [fleet ~ fleet] if fleet %}", "{% endfor %}"),
        nested("{% for a, fleet in [[1, [fleet, fleet]]] %}", "{% endfor %}"),
    ] {
        let why = refusal(&template);
        assert!(why.contains("a value of more than 1048576 bytes"), "{template}: {why}");
    }
    let deep = refusal(&format!("{{% set a = 1 %}}{}", "{% set a = [a] %}".repeat(65)));
    assert!(deep.contains("nested more than 64 times"), "{deep}");
    let many = refusal(&"{% set a = [] %}".repeat(257));
    assert!(many.contains("more than 256 names are bound to something that is made"), "{many}");
    // What the engine refuses does not pass for being put into brackets.
    for broken in ["{% set a = a) ~ (a %}", "{% set a = a] + [a %}", "{% set a = [a) + (a] %}"] {
        let why = refusal(&format!("{{% set a = 'x' %}}{}", forty(broken)));
        assert!(why.starts_with("syntax error: "), "{broken}: {why}");
    }
    for broken in ["{% for a in fleet) ~ (fleet %}{% endfor %}", "{% for a in fleet, [fleet] %}{% endfor %}"] {
        assert!(refusal(broken).starts_with("syntax error: "), "{broken}: {}", refusal(broken));
    }
    // A loop forgets what its turn before has bound.
    let carried = "{% set a = 'x' %}{% for i in vars.ports + vars.ports %}{% set a = a ~ a %}{{ a }} {% endfor %}";
    assert_eq!(rendered_content(carried).as_deref(), Ok("xx xx xx xx "));
}

#[test]
fn a_value_that_is_made_and_kept_has_one_mebibyte() {
    let with = |template: &str, length: usize| {
        let mut story = story(&content(template));
        let vars = format!("{{labels: {{site: kiel}}, vars: {{big: {}}}}}", "y".repeat(length));
        story.say("devices/edge-1.yaml", &vars).land();
        render_for(&story, "edge-1").is_ok()
    };
    let (kept, joined) = ("{% set a = vars.big ~ vars.big %}", "{{ [vars.big, vars.big]|join }}");
    let replaced = "{{ vars.big|replace('y', 'xx') }}";
    assert!(with(kept, (1 << 19) - 8) && !with(kept, (1 << 19) - 7), "what a value takes beside its text is 16 bytes");
    assert!(with(joined, 1 << 19) && !with(joined, (1 << 19) + 1));
    assert!(with(replaced, 1 << 19) && !with(replaced, (1 << 19) + 1));
}

#[test]
fn a_filter_knows_how_long_its_result_is_before_it_makes_it() {
    let chain = "|replace('x', 'xxxxxxxxxx')".repeat(12);
    assert!(refusal(&format!("{{{{ 'x'{chain} }}}}")).contains("a value of more than"));
    let mut story = story(&content("{{ vars.l|join(vars.big) }}"));
    let list = vec!["x"; 1000].join(", ");
    let vars = format!("{{labels: {{site: kiel}}, vars: {{l: [{list}], big: {}}}}}", "y".repeat(10_000));
    story.say("devices/edge-1.yaml", &vars).land();
    let why = render_for(&story, "edge-1").expect_err("refused").to_string();
    assert!(why.contains("a value of more than"), "{why}");
    // What becomes shorter counts as what it becomes.
    let mut story = self::story(&content("{{ vars.big|replace('y', '')|replace('', '-') }}"));
    story.say("devices/edge-1.yaml", &vars.replace(&"y".repeat(10_000), &"y".repeat(600_000))).land();
    assert!(render_for(&story, "edge-1").is_ok());
}

#[test]
fn what_is_not_in_the_language_is_told_with_its_line() {
    for (template, expected) in [
        (
            "a\n{% with a = 1 %}{% endwith %}",
            "the template language has for, if and set, and no with in \"{% with a = 1 %}{% endwith %}\"",
        ),
        ("{% filter upper %}x{% endfilter %}", "the template language has for, if and set, and no filter in"),
        ("{% autoescape true %}x{% endautoescape %}", "and no autoescape in"),
        ("{% do f() %}", "and no do in"),
        ("{% include 'x' %}", "and no include in"),
        ("{% set a %}x{% endset %}", "the template language has no set without a value in"),
        ("{% set a | default(a=1) %}x{% endset %}", "the template language has no set without a value in"),
        (
            "{% for a in vars.list recursive %}{{ loop(a) }}{% endfor %}",
            "the template language has no recursive loops in",
        ),
        ("{% for a in vars.list if a recursive %}{% endfor %}", "the template language has no recursive loops in"),
        ("{{ 'x' * 100000000 }}", "the template language does not multiply in"),
        ("{{ [1] * 1000000000000 }}", "the template language does not multiply in"),
        ("{{ vars.list|join(*vars.list) }}", "the template language does not multiply in"),
        ("{{ vars.list|measured__ }}", "this name is taken in"),
    ] {
        let why = refusal(template);
        assert!(why.contains(expected), "{template}: {why}");
    }
    // What only looks like it is text.
    let text = "{% raw %}{% with %}{{ 2 * 2 }}{% endraw %}{# {% macro %} * #}{{ '{% do %} *' }} * %}";
    assert_eq!(rendered_content(text).as_deref(), Ok("{% with %}{{ 2 * 2 }}{% do %} * * %}"));
}

#[test]
fn no_template_takes_all_of_the_stack() {
    let long = |term: &str| format!("{{{{ 1{} }}}}", term.repeat(60_000));
    for template in [long(" + vars.port"), long("|lower"), long(".a"), long(" if 1 else 1"), long("[0]"), long(" == 1")]
    {
        assert!(refusal(&template).contains("more than 256 words and signs in one tag in"), "{}", refusal(&template));
    }
    assert!(refusal(&format!("{{{{ {}1 }}}}", "not ".repeat(60_000))).contains("more than 256"));
    let elif = format!("{{% if 0 %}}{}{{% endif %}}", "{% elif 0 %}".repeat(60_000));
    assert!(refusal(&elif).contains("more than 64 statements within each other"), "{}", refusal(&elif));
    let both = format!("{}{}", "{% if 0 %}{% elif 0 %}".repeat(33), "{% endif %}".repeat(33));
    assert!(refusal(&both).contains("more than 64 statements"), "{}", refusal(&both));
    assert!(refusal(&"{% for a in vars.list %}".repeat(65)).contains("more than 64 statements"));
}

#[test]
fn what_is_just_within_the_limits_renders() {
    let terms = format!("{{{{ {}1 }}}}", "1 + ".repeat(127));
    assert_eq!(rendered_content(&terms).as_deref(), Ok("128"));
    let deep = format!("{}x{}", "{% if 1 %}".repeat(64), "{% endif %}".repeat(64));
    assert_eq!(rendered_content(&deep).as_deref(), Ok("x"));
    let elif = format!("{{% if 0 %}}{}{{% else %}}x{{% endif %}}", "{% elif 0 %}".repeat(63));
    assert_eq!(rendered_content(&elif).as_deref(), Ok("x"));
    let after_each_other = "{% if 0 %}{% elif 1 %}x{% endif %}".repeat(1000);
    assert_eq!(rendered_content(&after_each_other).as_deref(), Ok("x".repeat(1000).as_str()));
    let parentheses = format!("{{{{ {}1{} }}}}", "(".repeat(70), ")".repeat(70));
    assert_eq!(rendered_content(&parentheses).as_deref(), Ok("1"));
}

#[test]
fn what_is_bound_renders_as_if_nobody_measured_it() {
    for (template, expected) in [
        ("{% set a = 'x' ~ vars.port %}{{ a }}", "x9090"),
        ("{%- set a = 'x' 'y' -%} {{ a }}", "xy"),
        ("{% set a, b = 1, [2, 3] %}{{ a }} {{ b }}", "1 [2,3]"),
        ("{% set a = (1 if labels.ring == 'canary' else 2) ~ \"}}\" %}{{ a }}", "1}}"),
        ("{% set a = 'x' if labels.ring == 'other' %}[{{ a }}]", "[]"),
        ("{% set a = -1 %}{{ a + 2 }}", "1"),
        ("{% set a = {'k': [1, {'n': none}]} %}{{ a }}", r#"{"k":[1,{"n":null}]}"#),
        ("{% set a = vars.ports[:1] %}{{ a|join }}", "80"),
        ("{% set a = (vars.map)|default({}) %}{% for k in a %}{{ k }}{% endfor %}", "einszwei"),
        ("{% for p in vars.ports + [1] if p != 443 %}{{ p }}{% if not loop.last %},{% endif %}{% endfor %}", "80,1"),
        ("{% for n, p in [['a', 1], ['b', 2]] %}{{ n }}{{ p }}{% endfor %}", "a1b2"),
        ("{% for p in (vars.ports if labels.ring == 'canary' else []) %}{{ p }}{% else %}none{% endfor %}", "80443"),
        ("{% for p in [] %}{% else %}none{% endfor %}", "none"),
        ("{% for c in vars.text|default('none') %}{{ c }}{% endfor %}", "a<&>\"b"),
    ] {
        assert_eq!(rendered_content(template).as_deref(), Ok(expected), "{template}");
    }
    let undefined = refusal("one\n{% set a = vars.ports\n  + [vars.prot] %}{% for x in a %}{{ x }}{% endfor %}");
    assert_eq!(undefined, r#"undefined value in "+ [vars.prot] %}{% for x in a %}{{ x }}{% endfor %}""#);
}

#[test]
fn the_texts_of_a_spec_are_bounded_together() {
    // 300 times 300 times 10,000 bytes.
    let loops = "{% for a in vars.l %}{% for b in vars.l %}{{ vars.x }}{% endfor %}{% endfor %}";
    let mut story = story(&content(loops));
    let (list, long) = (vec!["1"; 300].join(", "), "x".repeat(10_000));
    story.say("devices/edge-1.yaml", &format!("{{labels: {{site: kiel}}, vars: {{l: [{list}], x: {long}}}}}")).land();
    let why = render_for(&story, "edge-1").expect_err("too much").to_string();
    assert_eq!(why, "files[0].content: the texts of the spec have more than 67108864 bytes");

    let files: String =
        (0..70).map(|i| format!("{{path: /opt/{i}, source: files/shared.j2, template: true}}, ")).collect();
    let mut story = self::story(&format!("{{files: [{files}], probes: none}}"));
    story.put("files/shared.j2", &"{{ vars.x }}".repeat(100)).land();
    story.say("devices/edge-1.yaml", &format!("{{labels: {{site: kiel}}, vars: {{x: {long}}}}}")).land();
    let why = render_for(&story, "edge-1").expect_err("too much").to_string();
    assert_eq!(why, "files[67].source: the texts of the spec have more than 67108864 bytes");

    story.put("files/shared.j2", &format!("{{{{ fleet }}}}{}", "x".repeat(1 << 20))).land();
    let why = render_for(&story, "edge-1").expect_err("too long a template").to_string();
    assert_eq!(why, "files[0].source: a template of 1048587 bytes, at most 1048576 are allowed");
}

#[test]
fn a_spec_names_as_many_targets_as_an_agent_takes() {
    let of = |count: usize| {
        let files: String =
            (0..count).map(|i| format!("{{path: /opt/f{i}, source: files/conf.j2, template: true}}, ")).collect();
        let mut story = story(&format!("{{files: [{files}], probes: none}}"));
        for i in 0..count {
            story.put(&format!("files/{i}"), &i.to_string());
        }
        let fleet = (0..count).map(|i| format!("{{path: /opt/f{i}, source: files/{i}}}, ")).collect::<String>();
        let spec =
            format!("{{selector: {{matchLabels: {{site: kiel}}}}, template: {{files: [{fleet}], probes: none}}}}");
        story.say("fleets/gateways.yaml", &spec).land();
        render_for(&story, "edge-1").map(|rendered| rendered.targets.len())
    };
    assert_eq!(of(2_000), Ok(2_000));
    assert_eq!(of(2_001), Err(RenderError::TooManyTargets(2_001)));
}

#[test]
fn a_spec_may_be_too_long_by_its_escapes_alone() {
    let story = story(&content("{{ vars.x }}"));
    let vars = Vars::from([("x".to_owned(), json!("\u{1}".repeat(1_000_000)))]);
    let mut known = HashMap::new();
    let mut contents = Contents::new(&story.repository.objects, &mut known);
    let facts = Facts { labels: labels(&[("site", "kiel")]), vars };
    let rendered = render(&story.fleet("gateways").target, &name("edge-1"), &facts, &mut contents);
    assert!(matches!(rendered, Err(RenderError::TooLong(length)) if length > 6_000_000), "{rendered:?}");
}

#[test]
fn only_what_could_not_be_read_passes_by_itself() {
    let mut story = story("{files: [{path: /opt/a, source: files/plain}], probes: none}");
    let facts = story.declared.inventory().subject_facts(&Subject::Device(name("edge-1")));
    assert_eq!(facts.labels.get("site").map(String::as_str), Some("kiel"));
    let blob = objects::object_id(ObjectKind::Blob, b"{{ not a template }}\n");
    story.repository.objects.remove(&blob);
    assert!(render_for(&story, "edge-1").expect_err("it is gone").is_passing());
    let large = ObjectError::TooLarge { id: blob, length: 1, limit: 0 };
    assert!(!RenderError::Object(large).is_passing());
    assert!(RenderError::Object(ObjectError::Unreadable { id: blob, why: "EMFILE".to_owned() }).is_passing());
    let undefined = render_for(&self::story(&content("{{ vars.nothing_like_it }}")), "edge-1").expect_err("undefined");
    assert!(!undefined.is_passing());
}
