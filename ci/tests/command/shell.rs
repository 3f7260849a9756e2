//! What a shell and `man` make of what the command writes for them.

use crate::Sandbox;

/// What bash proposes for the last word of a command line.
fn proposed(sandbox: &Sandbox, script: &str, words: &[&str]) -> Vec<String> {
    let ask = r#"
        source ./script
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"
        function=$(complete -p "$1"); function=${function#* -F }; function=${function%% *}
        "$function" "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    std::fs::write(sandbox.dir.path().join("script"), script).expect("a file");
    let arguments = [&["--noprofile", "--norc", "-euc", ask, "bash"][..], words].concat();
    let output = sandbox.program("bash", &arguments, sandbox.dir.path());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{words:?}: {errors}");
    String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_subcommands_options_and_values() {
    let sandbox = Sandbox::new();
    let script = |more: &[&str]| {
        let ran = sandbox.bellwether_in(sandbox.dir.path(), &[&["completions", "bash"], more].concat());
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
        ran.out
    };
    let own = script(&[]);
    for (words, proposals) in [
        (&["bellwether", "val"][..], &["validate"][..]),
        (&["bellwether", "fleet", "s"], &["set"]),
        (&["bellwether", "device", "re"], &["resume", "revoke"]),
        (&["bellwether", "token", "mint", "--cou"], &["--count"]),
        (&["bellwether", "get", "dev"], &["devices"]),
        (&["bellwether", "--output", "j"], &["json"]),
        (&["bellwether", "completions", "f"], &["fish"]),
    ] {
        assert_eq!(proposed(&sandbox, &own, words), proposals, "{words:?}");
    }
    let of_agent = script(&["--program", "bellwether-agent"]);
    assert_eq!(proposed(&sandbox, &of_agent, &["bellwether-agent", "enr"]), ["enroll"]);
}

#[test]
fn each_shell_has_a_script_and_others_are_refused() {
    let sandbox = Sandbox::new();
    let ask = |shell: &str| sandbox.bellwether_in(sandbox.dir.path(), &["completions", shell]);
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = ask(shell);
        assert!(ran.code == Some(0) && ran.out.contains("bellwether"), "{shell}");
        assert!(ran.out.contains("expedite") && !ran.out.contains("__agent"), "{shell}");
    }
    let ran = ask("tcsh");
    assert!(ran.code == Some(2) && ran.err.contains("BW-0720") && ran.err.contains("elvish"), "{}", ran.err);
}

#[test]
fn pages_are_written_for_each_command_and_man_shows_them() {
    let sandbox = Sandbox::new();
    let top = sandbox.dir.path();
    let ran = sandbox.bellwether_in(top, &["man", "--dir", "share/man1"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let files: Vec<_> = ran.out.lines().collect();
    for name in [
        "bellwether",
        "bellwether-validate",
        "bellwether-token-mint",
        "bellwether-agent-enroll",
        "bellwether-reconciler",
    ] {
        assert!(files.contains(&format!("share/man1/{name}.1").as_str()), "{name}: {files:?}");
    }
    assert_eq!(std::fs::read_dir(top.join("share/man1")).expect("a folder").count(), files.len());

    let page = sandbox.bellwether_in(top, &["man", "token", "mint"]).out;
    let written = std::fs::read_to_string(top.join("share/man1/bellwether-token-mint.1")).expect("a page");
    assert_eq!(page, written);
    assert!(page.contains(".SH EXAMPLES\n.nf\n  bellwether token mint factory \\-\\-label ring=canary"), "{page}");
    let wrong = sandbox.bellwether_in(top, &["man", "token", "mimt"]);
    assert!(wrong.code == Some(2) && wrong.err.contains("bellwether token --help"), "{}", wrong.err);

    // Where man can show pages: some machines have none, or none but its name.
    let shown = |file: &str| {
        let mut man = sandbox.prepared("man", &["--warnings", "--local-file", file], top);
        man.env("MANWIDTH", "100").env("LC_ALL", "C.UTF-8").output().ok().filter(|output| output.status.success())
    };
    let Some(first) = shown(files[0]) else { return };
    if !String::from_utf8_lossy(&first.stdout).contains("SYNOPSIS") {
        return;
    }
    for file in files {
        let output = shown(file).expect("man shows it");
        let (text, warnings) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(text.contains("SYNOPSIS") && warnings.is_empty(), "{file}: {warnings}");
    }
}
