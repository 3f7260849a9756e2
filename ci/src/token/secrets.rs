//! How tokens are handed over: as CSV or JSON, to a file that only its owner can read.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use bellwether_schemas::codes;
use bellwether_schemas::manifest::Token;
use serde_json::Value;

use super::Minted;
use crate::failure::{self, Failure};
use crate::repo::WorkingCopy;

/// A file with tokens, which goes again unless it is kept.
#[must_use = "it goes again unless it is kept"]
pub(super) struct Written {
    path: PathBuf,
    kept: bool,
}

impl Written {
    pub(super) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        if !self.kept {
            // What is in it is worth nothing: git never learned of it.
            let _gone = std::fs::remove_file(&self.path);
        }
    }
}

/// Writes the tokens to a new file.
pub(super) fn write(copy: &WorkingCopy, path: &Path, tokens: &[Minted]) -> Result<Written, Failure> {
    let failed = |e: std::io::Error| failure::file("cannot write", path, &e);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = folder.canonicalize().map_err(failed)?;
    if copy.root().canonicalize().is_ok_and(|root| folder.starts_with(root)) {
        let message =
            format!("--out: {} lies in the working copy, where secrets get committed by mistake", path.display());
        return Err(Failure::new(codes::USAGE, message).hint("Name a file elsewhere, such as --out ~/tokens.csv."));
    }
    let content = match path.extension().and_then(|end| end.to_str()) {
        Some("json") => serde_json::to_vec_pretty(&json(tokens)).expect("tokens have text keys"),
        _ => csv(tokens),
    };
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file: File = opened.map_err(|e| match e.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Failure::new(codes::ALREADY_THERE, format!("--out: {} is there already", path.display()))
                .hint("Name a file that is not there: tokens of an earlier run are never overwritten.")
        }
        _ => failed(e),
    })?;
    let written = Written { path: path.to_owned(), kept: false };
    file.write_all(&content).and_then(|()| file.sync_all()).map_err(failed)?;
    Ok(written)
}

/// A row for each token: `name,id,token`.
pub(super) fn csv(tokens: &[Minted]) -> Vec<u8> {
    let mut text = "name,id,token\n".to_owned();
    for Minted { secret, entry } in tokens {
        // Names, ids and hexadecimal digits need no quotes.
        let name = entry.device.as_ref().map_or("", |device| device.as_str());
        text.push_str(&format!("{name},{},{secret}\n", entry.id));
    }
    text.into_bytes()
}

/// The tokens with all that is known of each.
pub(super) fn json(tokens: &[Minted]) -> Value {
    let with_secret = |token: &Minted| {
        let mut shown = without(&token.entry);
        shown["token"] = Value::from(token.secret.as_str());
        shown
    };
    tokens.iter().map(with_secret).collect()
}

/// What may be known of a token by everybody.
pub(super) fn without(entry: &Token) -> Value {
    serde_json::json!({
        "id": entry.id, "sha256": entry.sha256, "expires": entry.expires, "device": entry.device, "labels": entry.labels,
    })
}
