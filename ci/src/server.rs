//! Reads the reconciler's JSON API (GET only; there is nothing to write to).

use std::path::{Path, PathBuf};

use bellwether_schemas::codes;
use bellwether_schemas::enroll::ErrorBody;
use clap::Args;
use serde::de::DeserializeOwned;

use crate::failure::{self, Failure};

/// Options of every subcommand that reads the fleet, or may.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServerOptions {
    /// Address of the reconciler's page, such as http://127.0.0.1:8080
    #[arg(long, env = "BELLWETHER_SERVER", value_name = "URL", value_parser = page_address)]
    server: Option<url::Url>,
    /// PEM file with the certificate authority of that address, if it is not publicly trusted
    #[arg(long, env = "BELLWETHER_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
}

impl ServerOptions {
    /// A reader, for a subcommand that needs one.
    pub(crate) fn connect(&self) -> Result<Server, Failure> {
        self.connect_if_given()?.ok_or_else(|| {
            Failure::new(codes::USAGE, "which reconciler? --server <URL> is missing")
                .hint("Pass the address of its page, such as --server http://127.0.0.1:8080, or set BELLWETHER_SERVER.")
        })
    }

    /// A reader, if an address was given.
    pub(crate) fn connect_if_given(&self) -> Result<Option<Server>, Failure> {
        self.server.as_ref().map(|address| Server::connect(address, self.ca.as_deref())).transpose()
    }
}

/// Reads the address of a page.
pub(crate) fn page_address(text: &str) -> Result<url::Url, String> {
    let expected = "expected the address of the reconciler's page, such as http://127.0.0.1:8080";
    let url: url::Url = text.parse().map_err(|_| expected.to_owned())?;
    let fits = matches!(url.scheme(), "http" | "https") && url.has_host();
    if fits { Ok(url) } else { Err(expected.to_owned()) }
}

/// A reader of one reconciler's API.
pub(crate) struct Server {
    address: url::Url,
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

impl Server {
    pub(crate) fn connect(address: &url::Url, ca: Option<&Path>) -> Result<Self, Failure> {
        // Another part of the program may have installed the provider already; it is the same one.
        let _installed_before = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .timeout(std::time::Duration::from_secs(30))
            .redirect(reqwest::redirect::Policy::none());
        if address.host_str().is_some_and(|host| host == "localhost" || host.starts_with("127.")) {
            builder = builder.no_proxy();
        }
        if let Some(file) = ca {
            let pem = std::fs::read(file).map_err(|e| failure::file("cannot read", file, &e))?;
            let certificates = reqwest::Certificate::from_pem_bundle(&pem).map_err(|e| {
                Failure::new(codes::USAGE, format!("--ca: {} holds no PEM certificates", file.display())).because(&e)
            })?;
            if certificates.is_empty() {
                let message = format!("--ca: {} holds no PEM certificates", file.display());
                return Err(Failure::new(codes::USAGE, message)
                    .hint("Pass the certificate authority of the page's address, such as RECONCILER/ca/ca.crt."));
            }
            builder = builder.tls_certs_only(certificates);
        }
        let unreachable = |e: &(dyn std::error::Error + 'static)| {
            Failure::new(codes::SERVER_UNREACHABLE, format!("cannot reach {}", address)).because(e)
        };
        let client = builder.build().map_err(|e| unreachable(&e))?;
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| unreachable(&e))?;
        Ok(Self { address: address.clone(), client, runtime })
    }

    pub(crate) fn address(&self) -> &url::Url {
        &self.address
    }

    /// `GET /api/v1/<path>`.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.get_where(path, &[])
    }

    /// `GET /api/v1/<path>?<query>`.
    pub(crate) fn get_where<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, Failure> {
        let mut url = self.address.join(&format!("/api/v1/{path}")).map_err(|e| {
            Failure::new(codes::USAGE, format!("--server: {} is not the address of a page", self.address)).because(&e)
        })?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let request = async {
            let response = self.client.get(url.clone()).send().await?;
            Ok::<_, reqwest::Error>((response.status(), response.bytes().await?))
        };
        let (status, body) = self.runtime.block_on(request).map_err(|e| {
            Failure::new(codes::SERVER_UNREACHABLE, format!("cannot reach {url}")).because(&e.without_url())
        })?;
        if !status.is_success() {
            return Err(refused(&url, status.as_u16(), &body));
        }
        serde_json::from_slice(&body).map_err(|e| {
            Failure::new(codes::SERVER_ANSWER, format!("{url} answered something else than expected")).because(&e)
        })
    }
}

fn refused(url: &url::Url, status: u16, body: &[u8]) -> Failure {
    match serde_json::from_slice::<ErrorBody>(body) {
        Ok(error) => {
            let code = codes::explain(&error.code).map_or(codes::SERVER_ANSWER, |known| known.code);
            let failure = Failure::finding(code, format!("{url}: {}", error.message));
            match error.hint.as_str() {
                _ if status == 404 => failure.hint("List what there is: bellwether get devices"),
                "" => failure,
                hint => failure.hint(hint),
            }
        }
        Err(_) if status == 404 => Failure::finding(codes::NO_SUCH_OBJECT, format!("{url} is not there (HTTP 404)")),
        Err(_) => Failure::new(codes::SERVER_ANSWER, format!("{url} answered HTTP {status}")),
    }
}
