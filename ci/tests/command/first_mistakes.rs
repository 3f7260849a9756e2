//! `docs/first-mistakes.md`: each mistake is made in a new repository, and the page shows what the command really says to it.

use std::fmt::Write as _;
use std::path::Path;

use crate::Sandbox;
use crate::mistake::Mistake;
use crate::team::steady;

const PAGE: &str = "../docs/first-mistakes.md";

const BEGIN: &str = "# The ten first mistakes

What `bellwether validate` says to each, as it says it. The repository is the one that `bellwether init fleet` makes, with two devices:

```sh
bellwether token mint factory --device edge-1 --label ring=canary --commit
bellwether token mint factory --device edge-2 --commit
```

`-` is what somebody wrote, `+` what mends it. Each code has a page in [errors/](errors/README.md), and `bellwether explain CODE` shows
the same. This page is made by a test that makes each mistake (`ci/tests/command/first_mistakes.rs`).
";

/// A mistake that newcomers make.
struct First {
    title: &'static str,
    /// What is there before it, if that is not in the example.
    before: Option<(&'static str, &'static str)>,
    /// In the form of the examples of `explain`.
    mistake: &'static str,
    /// What is asked, each in turn.
    questions: &'static [&'static str],
    mend: &'static str,
}

const VALIDATE: &[&str] = &["validate"];

const FIRST: [First; 10] = [
    First {
        title: "A typo in a field",
        before: None,
        mistake: "\
fleets/edge.yaml
     files:
       - path: /opt/bellwether/etc/greeting
-        mod: \"0644\"
+        mode: \"0644\"
",
        questions: VALIDATE,
        mend: "Write the name that the message proposes.",
    },
    First {
        title: "A wrong unit",
        before: None,
        mistake: "\
rollouts/edge.yaml
     - name: rest
       percent: 100
-      soak: 15 minutes
+      soak: 15m
",
        questions: VALIDATE,
        mend: "Write a number and its unit without a space: `90s`, `15m`, `2h`, `7d`.",
    },
    First {
        title: "A missing file",
        before: None,
        mistake: "\
fleets/edge.yaml
       - path: /opt/bellwether/etc/about
-        source: files/abuot.txt
+        source: files/about.txt
",
        questions: VALIDATE,
        mend: "Name a file that is there, or add the one that is named.",
    },
    First {
        title: "A selector that matches nothing",
        before: None,
        mistake: "\
rollouts/edge.yaml
       select:
         matchLabels:
-          ring: cannary
+          ring: canary
",
        questions: VALIDATE,
        mend: "Write a label that devices have; the message says which ones they have.",
    },
    First {
        title: "Two fleets for one device",
        before: None,
        mistake: "\
-$ sed 's/name: edge/name: kiosk/' fleets/edge.yaml > fleets/kiosk.yaml
+$ sed -i 's/fleet: edge/fleet: kiosk/' fleets/kiosk.yaml
",
        questions: VALIDATE,
        mend: "Give the new fleet a selector of its own, and its devices the label that it asks for.",
    },
    First {
        title: "Waves that do not end at 100",
        before: None,
        mistake: "\
rollouts/edge.yaml
     - name: rest
-      percent: 50
+      percent: 100
       soak: 15m
",
        questions: VALIDATE,
        mend: "Let the last wave reach everybody: `percent: 100`.",
    },
    First {
        title: "A commit that is not signed",
        before: None,
        mistake: " $ git switch --quiet --create good-morning
 $ sed -i 's/Hello/Good morning/' fleets/edge.yaml
-$ git commit --quiet --all --no-gpg-sign --message \"Say good morning\"
+$ git commit --quiet --amend --no-edit --gpg-sign
",
        questions: &["validate", "validate --base main"],
        mend: "Sign the commit again before it is pushed; `git config commit.gpgsign true` signs all from then on.",
    },
    First {
        title: "An expired token",
        before: None,
        mistake: "\
enrollments/factory.yaml
     - id: edge-2
       sha256: \"…\"
-      expires: \"2025-01-01T00:00:00Z\"
+      expires: \"…\"
",
        questions: VALIDATE,
        mend: "Delete the token, and mint another for the device: `bellwether token mint factory --device NAME --commit`.",
    },
    First {
        title: "A wrong digest",
        before: Some((
            "An artifact is added, as `bellwether init --example gateway` shows it:",
            " $ mkdir artifacts && echo 'echo hello' > artifacts/hello-1.0.0 && git add artifacts
fleets/edge.yaml
         source: files/about.txt
+    artifacts:
+      - name: hello
+        source:
+          path: artifacts/hello-1.0.0
+        sha256: 5dbad7dd0b9b122dcd9956884390f4aac4738caba8ff53498a7ab6718b176c30
+        length: 11
+        dest: /opt/bellwether/hello
     probes:
",
        )),
        mistake: "\
fleets/edge.yaml
         source:
           path: artifacts/hello-1.0.0
-        sha256: 8ef0c71d1b8e4b7bff8435af8e4fe7946258418904bd460e4182e9bcdda7dcf9
+        sha256: 5dbad7dd0b9b122dcd9956884390f4aac4738caba8ff53498a7ab6718b176c30
         length: 11
",
        questions: VALIDATE,
        mend: "Write the digest and length of the file that is meant, or run the command that the message shows.",
    },
    First {
        title: "A tab for indentation",
        before: None,
        mistake: "\
fleets/edge.yaml
   vars:
-\tgreeting: Hello
+    greeting: Hello
",
        questions: VALIDATE,
        mend: "Indent by spaces; editors do that for YAML by themselves.",
    },
];

#[test]
fn the_page_shows_what_the_command_says() {
    let page = page();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let shown = std::fs::read_to_string(&file).unwrap_or_default();
    let is_same = steady(&shown) == steady(&page);
    if !is_same && std::env::var_os("BLESS").is_some() {
        std::fs::write(&file, page).expect("the page can be written");
    } else {
        let hint = "docs/first-mistakes.md is stale; run: BLESS=1 cargo nextest run -p bellwether first_mistakes";
        assert!(is_same, "{hint}\n{}", page);
    }
}

fn page() -> String {
    let mut page = BEGIN.to_owned();
    for (number, first) in FIRST.iter().enumerate() {
        let First { title, before, mistake, mend, .. } = first;
        let before =
            before.map_or_else(String::new, |(why, change)| format!("{why}\n\n```diff\n{change}```\n\nand then\n\n"));
        let _infallible = write!(
            page,
            "\n## {}. {title}\n\n{before}```diff\n{mistake}```\n\n```text\n{}```\n\n**Mend:** {mend}\n",
            number + 1,
            said(first)
        );
    }
    page
}

/// What the command says to the mistake; once it is mended, nothing that counts.
fn said(first: &First) -> String {
    let sandbox = Sandbox::with_repository();
    for more in [&["--device", "edge-1", "--label", "ring=canary"][..], &["--device", "edge-2"]] {
        let id = ["token", "mint", "factory", "--commit", "--id", more[1]];
        assert_eq!(sandbox.bellwether(&[&id, more].concat()).code, Some(0));
    }
    if let Some((_, before)) = first.before {
        Mistake::of(before).make(&sandbox).mend();
    }
    let mistake = Mistake::of(first.mistake);
    let made = mistake.make(&sandbox);
    let ask = |question: &str| sandbox.bellwether(&question.split(' ').collect::<Vec<_>>());
    let mut said = Vec::new();
    for question in first.questions {
        let ran = ask(question);
        said.push(format!("$ bellwether {question}\n{}{}", ran.out, ran.err));
    }
    made.mend();
    for question in first.questions {
        let ran = ask(question);
        assert_eq!(ran.code, Some(0), "{} is not mended: {}", first.title, ran.out);
    }
    said.join("\n")
}
