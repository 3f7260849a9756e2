//! When what only people can renew ends: for page and metrics.

use std::sync::Arc;

use bellwether_core::plan::Advice;
use bellwether_schemas::lives::is_end_near;
use jiff::Timestamp;

use crate::pki::AuthorityWatch;
use crate::publish::Publisher;

/// Says when everything ends, as it is now.
pub(super) type Ends = Arc<dyn Fn() -> Vec<End> + Send + Sync>;

/// Something that ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct End {
    /// The label of its metric.
    pub(super) label: &'static str,
    /// What it is, for people.
    pub(super) what: &'static str,
    /// When it ends.
    pub(super) until: Timestamp,
    /// That it ends soon, in a sentence.
    pub(super) why: String,
    /// What replaces it.
    pub(super) advice: Advice,
}

/// When root, authority and server certificate end.
pub(super) fn ends(authority: AuthorityWatch, publisher: Publisher) -> Ends {
    Arc::new(move || {
        let (root, authority) = (publisher.newest_root(), authority.borrow());
        let (issuing, server) = (authority.issuing(), authority.server_certificate());
        vec![
            end("root", "TUF root", root.expires, "bellwether keys rotate --online KEYS --out DRAFT"),
            end("authority", "Certificate authority", issuing.not_after, "bellwether-reconciler certs rotate-ca"),
            end("server", "Server certificate", server.not_after, "bellwether-reconciler certs renew"),
        ]
    })
}

/// What people should renew by now. The server's certificate is renewed long before, so it is here only when that fails.
pub(super) fn near(mut ends: Vec<End>, now: Timestamp) -> Vec<End> {
    ends.retain(|end| is_end_near(end.until, now));
    ends
}

fn end(label: &'static str, what: &'static str, until: Timestamp, command: &str) -> End {
    let text = "Replace it before then; docs/keys.md says how.".to_owned();
    let advice = Advice { text, command: Some(command.to_owned()) };
    End { label, what, until, why: format!("It ends at {until}."), advice }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_is_told_ninety_days_before() {
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        let all = || {
            vec![
                end("root", "TUF root", at("2056-01-01T00:00:00Z"), "x"),
                end("server", "S", at("2027-01-01T00:00:00Z"), "y"),
            ]
        };
        let near = |now| near(all(), at(now)).iter().map(|end| end.label).collect::<Vec<_>>();
        assert_eq!(near("2026-01-01T00:00:00Z"), [""; 0]);
        assert_eq!(near("2026-12-01T00:00:00Z"), ["server"]);
        assert_eq!(near("2055-10-04T00:00:00Z"), ["root", "server"]);
    }
}
