//! The URL of an HTTP probe, taken apart in one place: what validates is what a device asks, and no two parsers disagree.

/// A URL of the form `http://host[:port][/path][?query]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpUrl<'a> {
    /// Name or address, without brackets.
    pub host: &'a str,
    /// The port, 80 by default.
    pub port: u16,
    /// Path and query; empty for `/`.
    pub path: &'a str,
}

/// Why a text is not the URL of an HTTP probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHttpUrl {
    /// It would need TLS.
    #[error("https is not supported yet")]
    Https,
    /// Another scheme, or none.
    #[error("it does not begin with http://")]
    Scheme,
    /// A character that readers of URLs disagree about.
    #[error("only ASCII without spaces, control characters and backslashes is allowed in it")]
    Character,
    /// Something before the host, or what looks like it.
    #[error("a user, a password, and @ anywhere else, are not allowed in it")]
    User,
    /// A fragment, which no server is told.
    #[error("a fragment (#) is not allowed in it")]
    Fragment,
    /// No host, or one that is not a plain name or address.
    #[error("its host is not a name of letters, digits, - and ., or an address (IPv6 in brackets)")]
    Host,
    /// The port.
    #[error("its port is not a number from 1 to 65535")]
    Port,
    /// A query right after the host.
    #[error("its query has no path before it, which is at least /")]
    Query,
}

impl<'a> HttpUrl<'a> {
    /// Whether a text begins as an `https` URL does, whatever follows.
    pub fn is_https(url: &str) -> bool {
        url.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"))
    }

    /// Takes a URL apart.
    ///
    /// # Errors
    /// The first thing that is unusual: nothing is guessed.
    pub fn parse(url: &'a str) -> Result<Self, InvalidHttpUrl> {
        let rest = match url.strip_prefix("http://") {
            Some(rest) => rest,
            None if Self::is_https(url) => return Err(InvalidHttpUrl::Https),
            None => return Err(InvalidHttpUrl::Scheme),
        };
        if !url.is_ascii() || url.chars().any(|c| c.is_control() || matches!(c, ' ' | '\\')) {
            return Err(InvalidHttpUrl::Character);
        }
        if url.contains('@') {
            return Err(InvalidHttpUrl::User);
        }
        if url.contains('#') {
            return Err(InvalidHttpUrl::Fragment);
        }
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (host, port) = match authority.strip_prefix('[') {
            Some(v6) => v6.split_once(']').ok_or(InvalidHttpUrl::Host)?,
            None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':');
        if host.is_empty() || !host.chars().all(plain) {
            return Err(InvalidHttpUrl::Host);
        }
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => 80,
            Some(digits) if digits.bytes().all(|c| c.is_ascii_digit()) => {
                digits.parse().ok().filter(|port| *port != 0).ok_or(InvalidHttpUrl::Port)?
            }
            _ => return Err(InvalidHttpUrl::Port),
        };
        if path.starts_with('?') {
            return Err(InvalidHttpUrl::Query);
        }
        Ok(Self { host, port, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_urls_are_taken_apart() {
        for (url, host, port, path) in [
            ("http://127.0.0.1/x", "127.0.0.1", 80, "/x"),
            ("http://localhost", "localhost", 80, ""),
            ("http://[::1]:8080/x?y=/", "::1", 8080, "/x?y=/"),
        ] {
            assert_eq!(HttpUrl::parse(url), Ok(HttpUrl { host, port, path }), "{url}");
        }
    }

    #[test]
    fn hosts_of_unusual_urls_are_not_guessed() {
        for (url, why) in [
            ("https://127.0.0.1/", InvalidHttpUrl::Https),
            ("HTTPS://127.0.0.1/", InvalidHttpUrl::Https),
            ("file:///etc/passwd", InvalidHttpUrl::Scheme),
            ("HTTP://127.0.0.1/", InvalidHttpUrl::Scheme),
            ("", InvalidHttpUrl::Scheme),
            ("http://bücher.example/", InvalidHttpUrl::Character),
            ("http://127.0.0.1/a b", InvalidHttpUrl::Character),
            ("http://127.0.0.1/\r\nHost: x", InvalidHttpUrl::Character),
            ("http://evil.example\\@127.0.0.1/", InvalidHttpUrl::Character),
            ("http://127.0.0.1@evil.example/", InvalidHttpUrl::User),
            ("http://127.0.0.1/#x", InvalidHttpUrl::Fragment),
            ("http:///x", InvalidHttpUrl::Host),
            ("http://:80/x", InvalidHttpUrl::Host),
            ("http://[::1/x", InvalidHttpUrl::Host),
            ("http://127.0.0.1%2f/", InvalidHttpUrl::Host),
            ("http://my_host/", InvalidHttpUrl::Host),
            ("http://127.0.0.1:/", InvalidHttpUrl::Port),
            ("http://127.0.0.1:0/", InvalidHttpUrl::Port),
            ("http://127.0.0.1:99999/", InvalidHttpUrl::Port),
            ("http://127.0.0.1:+80/", InvalidHttpUrl::Port),
            ("http://[::1]80/", InvalidHttpUrl::Port),
            ("http://127.0.0.1?x=/", InvalidHttpUrl::Query),
        ] {
            assert_eq!(HttpUrl::parse(url), Err(why), "{url}");
        }
    }
}
