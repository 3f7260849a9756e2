//! What the page may be called. Whoever lets a name of their own point to this machine (DNS rebinding) has the browser of
//! whoever opens their web page ask here, and read the answer: the browser takes it for theirs. Such a request bears their name.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use bellwether_schemas::codes;
use http::header::HOST;
use url::Host;

use super::problem::{Class, Problem};
use crate::pki::{AuthorityWatch, ServerName};

/// The names that are this page's own.
#[derive(Debug)]
pub(super) struct PageNames {
    /// Whose server certificate has names.
    pub(super) authority: AuthorityWatch,
    /// The name that the operator says people use.
    pub(super) advertised: Option<Host>,
}

impl PageNames {
    fn is_own(&self, host: &Host) -> bool {
        let Host::Domain(name) = host else {
            // No name, so nobody's but this machine's: the browser asked what the person did.
            return true;
        };
        let name = name.trim_end_matches('.');
        let is = |own: &str| own.eq_ignore_ascii_case(name);
        let of_certificate = |own: &ServerName| matches!(own, ServerName::Dns(own) if is(own));
        is("localhost")
            || self.advertised.as_ref().is_some_and(|own| is(&own.to_string()))
            || self.authority.borrow().server_certificate().names.iter().any(of_certificate)
    }
}

/// Lets requests pass that call the page by a name of its own.
pub(super) async fn own_name(
    State(names): State<Arc<PageNames>>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    match host(&request) {
        Some(host) if names.is_own(&host) => Ok(next.run(request).await),
        Some(host) => {
            Err(Problem::new(Class::Misdirected, codes::PAGE_NAME, format!("{host} is no name of this page")))
        }
        None => {
            Err(Problem::new(Class::Misdirected, codes::PAGE_NAME, "the request does not say which host it is for"))
        }
    }
}

/// Whom a request is for: by HTTP/2 in its address, by HTTP/1.1 in one header.
fn host(request: &Request) -> Option<Host> {
    let mut said = request.headers().get_all(HOST).iter();
    let authority = match (request.uri().authority(), said.next(), said.next()) {
        (Some(authority), _, _) => authority.clone(),
        (None, Some(host), None) => host.as_bytes().try_into().ok()?,
        (None, ..) => return None,
    };
    Host::parse(authority.host()).ok()
}
