//! Secrets in plain text, by their well-known shapes.
//!
//! Only shapes that hardly anything else has: a finding must be worth that somebody stops. What they look like is said by
//! whoever issues them; each pattern names its source.

use std::collections::HashSet;
use std::sync::LazyLock;

use bellwether_schemas::diagnostic::Diagnostic;
use bellwether_schemas::{Sha256Digest, codes};
use regex::bytes::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};

use super::manifests::Manifests;

/// So many secrets of one shape are told in a file: whoever has more has seen what is wrong.
const MOST: usize = 20;

/// On the line of something that only looks like a secret.
const NOT_A_SECRET: &[u8] = b"bellwether:not-a-secret";

/// What it is, and its shape.
const SHAPES: &[(&str, &str)] = &[
    // RFC 7468 (PEM), RFC 9580 section 6.2 (OpenPGP), PROTOCOL.key of OpenSSH
    ("a private key", r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"),
    // age(1)
    ("an age key", r"AGE-SECRET-KEY-1[02-9AC-HJ-NP-Z]{58}"),
    // wg(8)
    ("a WireGuard key", r"(?m)^\s*(?:PrivateKey|PresharedKey)\s*=\s*[A-Za-z0-9+/]{43}="),
    // wpa_supplicant.conf(5), nm-settings-keyfile(5)
    ("a Wi-Fi password", r#"(?m)^\s*(?:psk|wpa_passphrase)\s*=\s*(?:"[^"{]{8,63}"|[^\s"{]{8,64})[ \t\r]*$"#),
    // RFC 3986 section 3.2.1
    ("a password in a URL", r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@{}$<>]{1,64}:[^\s/@{}$<>]{3,128}@[A-Za-z0-9\[]"),
    // RFC 7519 section 3.1
    ("a JSON Web Token", r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{20,}"),
    // docs.aws.amazon.com/IAM, "Unique identifiers"
    ("an AWS access key", r"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b"),
    // docs.aws.amazon.com/cli, "Configuration and credential file settings"
    (
        "an AWS secret key",
        r#"(?i)\b(?:aws_?)?secret_?access_?key"?\s{0,8}[=:]\s{0,8}["']?[A-Za-z0-9/+]{40}(?:[^A-Za-z0-9/+=]|$)"#,
    ),
    // learn.microsoft.com/azure/storage, "connection strings"
    ("an Azure storage key", r"AccountKey=[A-Za-z0-9+/]{86}=="),
    // cloud.google.com, "API keys"
    ("a Google API key", r"\bAIza[0-9A-Za-z_-]{35}"),
    // docs.github.com, "About authentication to GitHub: token formats"
    ("a GitHub token", r"\b(?:gh[pousr]_[A-Za-z0-9]{36,251}|github_pat_[A-Za-z0-9_]{82})\b"),
    // docs.gitlab.com, "Token overview: token prefixes"
    ("a GitLab token", r"\bgl(?:pat|dt|rt|ptt|ft|soat|agent|oas|cbt)-[A-Za-z0-9_-]{20,}"),
    // docs.slack.dev, "Tokens"
    ("a Slack token", r"\bxox[abpors]-[A-Za-z0-9-]{10,}"),
    // the rule sendgrid-api-token of gitleaks; the parts have 22 and 43 characters
    ("a SendGrid key", r"\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}\b"),
    // docs.stripe.com/keys
    ("a Stripe key", r"\b[rs]k_live_[A-Za-z0-9]{24,}"),
    // the documentation of npm, "About access tokens"
    ("an npm token", r"\bnpm_[A-Za-z0-9]{36}\b"),
    // the help of PyPI, "API tokens"
    ("a PyPI token", r"\bpypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,}"),
    // developer.hashicorp.com/vault, "Tokens: token prefixes"
    ("a Vault token", r"\bhv[sbr]\.[A-Za-z0-9_-]{24,}"),
    // tailscale.com/kb, "Auth keys"
    ("a Tailscale key", r"\btskey-(?:auth|api|client)-[A-Za-z0-9]+-[A-Za-z0-9]{20,}"),
];

static SET: LazyLock<RegexSet> = LazyLock::new(|| {
    let shapes = SHAPES.iter().map(|(_, shape)| shape);
    RegexSetBuilder::new(shapes).unicode(false).build().expect("literal patterns")
});
static EACH: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    let compiled = |shape: &str| RegexBuilder::new(shape).unicode(false).build().expect("a literal pattern");
    SHAPES.iter().map(|(_, shape)| compiled(shape)).collect()
});

/// Looks for secrets.
pub(super) struct Search {
    /// Of the tokens of the repository's own Enrollments.
    hashes: HashSet<Sha256Digest>,
}

impl Search {
    pub(super) fn of(manifests: &Manifests) -> Self {
        let enrollments = manifests.enrollments();
        let hashes = enrollments.flat_map(|(_, _, enrollment)| enrollment.tokens.iter().map(|token| token.sha256));
        Self { hashes: hashes.collect() }
    }

    /// Those in a text.
    pub(super) fn through(&self, path: &str, text: &[u8]) -> Vec<Diagnostic> {
        [secrets(path, text), tokens(path, text, &self.hashes)].concat()
    }
}

/// Tokens of the repository's own Enrollments, which list their hashes.
fn tokens(path: &str, text: &[u8], hashes: &HashSet<Sha256Digest>) -> Vec<Diagnostic> {
    static TOKEN: LazyLock<Regex> = LazyLock::new(|| {
        let pattern = RegexBuilder::new(r"\b[0-9a-fA-F]{64}\b").unicode(false).build();
        pattern.expect("a literal pattern")
    });
    if hashes.is_empty() {
        return Vec::new();
    }
    let is_token = |digits: &[u8]| hex::decode(digits).is_ok_and(|secret| hashes.contains(&Sha256Digest::of(&secret)));
    let found = TOKEN.find_iter(text).filter(|place| is_token(place.as_bytes())).take(MOST);
    let told = found.map(|place| {
        let message = "found a token with which a device can enroll: its hash is in enrollments/";
        let hint = "take it out, revoke it (revoked: true on its entry), and mint another: bellwether token mint";
        hidden(Diagnostic::error(codes::SECRET, path, message).hint(hint), text, place.range())
    });
    told.collect()
}

/// The secrets in a text, each at its place; the text itself is not shown.
fn secrets(path: &str, text: &[u8]) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for shape in SET.matches(text) {
        for place in EACH[shape].find_iter(text).take(MOST) {
            let (what, _) = SHAPES[shape];
            let line_start = text[..place.start()].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let line_end = text[place.end()..].iter().position(|byte| *byte == b'\n');
            let line = &text[line_start..line_end.map_or(text.len(), |at| place.end() + at)];
            if memchr::memmem::find(line, NOT_A_SECRET).is_some() {
                continue;
            }
            let problem = Diagnostic::error(codes::SECRET, path, format!("found what looks like {what}"));
            let problem = problem.hint(
                "git keeps what is committed: take it out, replace it wherever it is used, and place it on the devices \
                 by other means. If it is no secret, say so on its line: bellwether:not-a-secret",
            );
            found.push(hidden(problem, text, place.range()));
        }
    }
    found
}

/// The problem at a place of a text of which the value must not get into a log.
fn hidden(problem: Diagnostic, text: &[u8], range: std::ops::Range<usize>) -> Diagnostic {
    let Ok(text) = std::str::from_utf8(text) else { return problem };
    Diagnostic { snippet: None, ..problem.at(text, range.start, range.end) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found, as it is told; made of pieces, so that this file has no secrets either.
    fn told(pieces: &[&str]) -> Vec<String> {
        secrets("files/x", pieces.concat().as_bytes()).iter().map(|problem| format!("{problem}")).collect()
    }

    #[test]
    fn shapes_are_found_and_not_shown() {
        let long = "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8S9t0";
        let cases: &[(&[&str], &str)] = &[
            (&["-----BEGIN OPENSSH ", "PRIVATE KEY-----\nabc\n"], "a private key"),
            (&["-----BEGIN ", "PRIVATE KEY-----"], "a private key"),
            (&["-----BEGIN PGP ", "PRIVATE KEY BLOCK-----"], "a private key"),
            (&["PrivateKey = ", "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk", "="], "a WireGuard key"),
            (&["  psk=", "correct horse"], ""),
            (&["  psk=\"", "correct horse\""], "a Wi-Fi password"),
            (&["psk=", "correcthorse\n"], "a Wi-Fi password"),
            (&["db: postgres://app:", "hunter22@db/x"], "a password in a URL"),
            (&["id: AKIA", "IOSFODNN7EXAMPLE"], "an AWS access key"),
            (&["aws_secret_access_key = ", long], "an AWS secret key"),
            (&["AWS_SECRET_ACCESS_KEY=\"", long, "\"\n"], "an AWS secret key"),
            (&["\"SecretAccessKey\": \"", long, "\""], "an AWS secret key"),
            (&["aws_secret_access_key = ", "{{ vars.key }}"], ""),
            (&["aws_secret_access_key = ", long, long], ""),
            (&["k: SG.", &long[..22], ".", long, "abc"], "a SendGrid key"),
            (&["k: SG.", &long[..22], ".", &long[..30]], ""),
            (&["t: ghp_", &long[..36]], "a GitHub token"),
            (&["t: glpat-", &long[..20]], "a GitLab token"),
            (&["t: xoxb-", "123456789012"], "a Slack token"),
            (&["k: sk_live_", &long[..24]], "a Stripe key"),
            (&["k: npm_", &long[..36]], "an npm token"),
            (&["k: hvs.", &long[..24]], "a Vault token"),
        ];
        for (pieces, what) in cases {
            let found = told(pieces);
            match *what {
                "" => assert_eq!(found, Vec::<String>::new(), "{pieces:?}"),
                what => assert!(found.len() == 1 && found[0].contains(what), "{pieces:?}: {found:?}"),
            }
            assert!(!found.concat().contains(pieces[1]), "{found:?}");
        }
    }

    #[test]
    fn placeholders_and_what_is_said_to_be_none_are_none() {
        for text in [
            "url: https://user@example.com/x",
            "url: https://{{ vars.user }}:{{ vars.password }}@example.com",
            "url: http://$USER:$PASSWORD@example.com",
            "psk={{ vars.psk }}",
            "-----BEGIN PUBLIC KEY-----",
            "-----BEGIN CERTIFICATE-----",
            "sha256: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        ] {
            assert_eq!(told(&[text]), Vec::<String>::new(), "{text}");
        }
        assert_eq!(told(&["-----BEGIN ", "PRIVATE KEY----- # bellwether:not-a-secret\n"]), Vec::<String>::new());
        assert_eq!(told(&["# bellwether:not-a-secret\n-----BEGIN ", "PRIVATE KEY-----\n"]).len(), 1, "its own line");
    }
}
