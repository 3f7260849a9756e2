//! What may be the address and the branch of a repository. It ends up in the arguments of `git` and `ssh`, so that
//! everything is refused that could be taken for an option, another helper, or more than one line.

use gix::url::Scheme;

/// The address, if it is one that is fetched from: a path, `https://…`, `ssh://…` or `user@host:path`.
///
/// # Errors
/// What is wrong with it, in words.
pub(super) fn parse(text: &str) -> Result<gix::Url, String> {
    let refuse = |why: &str| Err(why.to_owned());
    if has_control(text) {
        return refuse("it holds a control character");
    }
    if text.trim() != text || text.starts_with('-') {
        return refuse("it begins with '-' or with blanks, or ends with them");
    }
    let url = gix::url::parse(text).map_err(|why| why.to_string())?;
    match &url.scheme {
        Scheme::File | Scheme::Https | Scheme::Ssh => {}
        other => return Err(format!("{} is not supported: use a path, https or ssh", other.as_str())),
    }
    if url.password().is_some() {
        return refuse(
            "a password has no place in it: put it into a file, and name that as repositoryAccess.tokenFile",
        );
    }
    match (&url.scheme, url.host()) {
        (Scheme::File, None | Some("")) => {}
        (Scheme::File, Some(_)) => return refuse("a path names no host: use https or ssh"),
        (_, Some(host)) if is_host(host) => {}
        (_, _) => return refuse("its host is no host name or IP address"),
    }
    if url.user().is_some_and(|user| user.starts_with('-') || has_control(user)) {
        return refuse("its user begins with '-' or holds a control character");
    }
    let path = url.path.to_string();
    // `%2D` reaches a server as it is, and some read it as what it stands for.
    let begin = path.trim_start_matches('/').replace("%2d", "-").replace("%2D", "-");
    if begin.starts_with('-') {
        return refuse("its path begins with '-'");
    }
    if has_control(&path) {
        return refuse("its path holds a control character");
    }
    Ok(url)
}

/// Whether `branch` names one that can be watched.
///
/// # Errors
/// What is wrong with it, in words.
pub(super) fn check_branch(branch: &str) -> Result<(), String> {
    if branch.starts_with('-') || branch == "HEAD" {
        return Err(format!("branch {branch:?} begins with '-', or is HEAD"));
    }
    let name = format!("refs/heads/{branch}");
    gix::validate::reference::name(name.as_str().into()).map(|_| ()).map_err(|why| format!("branch {branch:?}: {why}"))
}

/// Host names and IP addresses, and nothing that a shell or `ssh` would take for more.
fn is_host(host: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    !host.is_empty() && !host.starts_with('-') && host.bytes().all(plain)
}

/// Whether a control character is in the text, as it is or as `%0a` and the like.
fn has_control(text: &str) -> bool {
    let hex = |byte: u8| char::from(byte).to_digit(16);
    let escaped = |three: &[u8]| match (three[0], hex(three[1]), hex(three[2])) {
        (b'%', Some(high), Some(low)) => high < 2 || (high, low) == (7, 15),
        _ => false,
    };
    text.chars().any(char::is_control) || text.as_bytes().windows(3).any(escaped)
}
