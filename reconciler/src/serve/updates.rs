//! The `updates` listener: TUF over mutual TLS, to each device its own metadata and the targets that it lists.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::{Path as UrlPath, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Extension, Router, middleware};
use bellwether_schemas::codes;
use bellwether_schemas::{DeviceName, Sha256Digest};
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};

use super::callers::{CallerCheck, May};
use super::listen::Caller;
use super::problem::{Class, Problem};

/// Bytes of a device's metadata file that are read to see what it lists.
const MAX_METADATA: u64 = 8 * 1024 * 1024;
/// Devices whose lists are remembered.
const REMEMBERED: usize = 4_096;
/// Bytes of a target's name.
const MAX_TARGET: usize = 64 + 1 + 128;

/// What the listener works with.
pub(super) struct Updates {
    pub(super) objects: Arc<dyn ObjectStore>,
    pub(super) callers: CallerCheck,
    pub(super) listed: Listed,
}

/// What each device's metadata listed when last read, with the version of its snapshot.
#[derive(Debug, Default)]
pub(super) struct Listed(Mutex<HashMap<DeviceName, (u64, Files)>>);

/// Names of target files, `<sha256>.<name>`.
type Files = Arc<HashSet<String>>;

pub(super) fn router(updates: Arc<Updates>) -> Router {
    Router::new()
        .route("/devices/{device}/{file}", get(metadata))
        .route("/targets/{file}", get(target))
        .fallback(|| async { Problem::not_found("the updates listener has /devices/… and /targets/… only") })
        .layer(middleware::from_fn(get_only))
        .with_state(updates)
}

/// Refuses everything but GET.
pub(super) async fn get_only(request: Request, next: middleware::Next) -> Response {
    if request.method() == http::Method::GET {
        return next.run(request).await;
    }
    let message = format!("{} is not served: this listener is read-only", request.method());
    Problem::new(Class::Method, codes::METHOD_NOT_ALLOWED, message).into_response()
}

type Caught = Option<Extension<Caller>>;

async fn metadata(
    State(updates): State<Arc<Updates>>,
    caller: Caught,
    UrlPath((device, file)): UrlPath<(String, String)>,
) -> Result<Response, Problem> {
    let own = updates.device(caller).await?;
    if device != own.as_str() {
        return Err(not_yours(format!("{own} asked for the metadata of another device")));
    }
    let path = match metadata_file(&file) {
        Some(MetadataFile::Root) => Path::from(format!("root/{file}")),
        Some(MetadataFile::Device) => Path::from(format!("devices/{own}/{file}")),
        None => return Err(Problem::not_found("there is no metadata of that name")),
    };
    updates.send(&path, "application/json").await
}

async fn target(
    State(updates): State<Arc<Updates>>,
    caller: Caught,
    UrlPath(file): UrlPath<String>,
) -> Result<Response, Problem> {
    let own = updates.device(caller).await?;
    let known = file.len() <= MAX_TARGET && updates.lists(&own, &file).await?;
    if !known {
        return Err(not_yours(format!("the metadata of {own} does not list that target")));
    }
    updates.send(&Path::from(format!("targets/{file}")), "application/octet-stream").await
}

fn not_yours(message: String) -> Problem {
    tracing::warn!(code = %codes::NOT_YOURS, "{message}");
    Problem::new(Class::Forbidden, codes::NOT_YOURS, message)
}

/// Where a metadata file lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MetadataFile {
    Root,
    Device,
}

/// Recognises `timestamp.json`, `N.snapshot.json`, `N.targets.json` and `N.root.json`; nothing else is metadata.
fn metadata_file(file: &str) -> Option<MetadataFile> {
    if file == "timestamp.json" {
        return Some(MetadataFile::Device);
    }
    let (number, role) = file.split_once('.')?;
    let plain = number.parse::<u64>().is_ok_and(|n| n > 0 && n.to_string() == number);
    match role {
        "root.json" if plain => Some(MetadataFile::Root),
        "snapshot.json" | "targets.json" if plain => Some(MetadataFile::Device),
        _ => None,
    }
}

impl Updates {
    async fn device(&self, caller: Caught) -> Result<DeviceName, Problem> {
        let Some(Extension(caller)) = caller else {
            let message = "the connection bears no certificate";
            return Err(Problem::new(Class::Unknown, codes::CERTIFICATE_FOREIGN, message));
        };
        let (identity, may) = self.callers.admit(&caller).await?;
        match may {
            May::Everything => Ok(identity.device),
            May::ReportOnly => {
                let message = format!("no accepted landing lists entry {} of {}", identity.entry, identity.enrollment);
                Err(Problem::new(Class::Forbidden, codes::ENTRY_UNLISTED, message))
            }
        }
    }

    async fn send(&self, path: &Path, content_type: &'static str) -> Result<Response, Problem> {
        let found = match self.objects.get(path).await {
            Ok(found) => found,
            // A real 404: clients look for the next root this way.
            Err(object_store::Error::NotFound { .. }) => return Err(Problem::not_found(format!("there is no {path}"))),
            Err(error) => return Err(store_failed(&error)),
        };
        let headers = [
            (CONTENT_TYPE, content_type.to_owned()),
            (CONTENT_LENGTH, found.meta.size.to_string()),
            (CACHE_CONTROL, "no-store".to_owned()),
        ];
        Ok((headers, Body::from_stream(found.into_stream())).into_response())
    }

    /// Whether the device's current metadata lists `<sha256>.<name>`.
    async fn lists(&self, device: &DeviceName, file: &str) -> Result<bool, Problem> {
        let Some(timestamp) = self.read(&format!("devices/{device}/timestamp.json")).await? else { return Ok(false) };
        let version = meta_version(&timestamp, "snapshot.json")?;
        let remembered = self.listed.get(device, version);
        if let Some(listed) = remembered {
            return Ok(listed.contains(file));
        }
        let Some(snapshot) = self.read(&format!("devices/{device}/{version}.snapshot.json")).await? else {
            return Ok(false);
        };
        let targets = meta_version(&snapshot, "targets.json")?;
        let Some(targets) = self.read(&format!("devices/{device}/{targets}.targets.json")).await? else {
            return Ok(false);
        };
        let listed = Arc::new(target_files(&targets)?);
        self.listed.remember(device, version, listed.clone());
        Ok(listed.contains(file))
    }

    async fn read(&self, path: &str) -> Result<Option<serde_json::Value>, Problem> {
        let found = match self.objects.get(&Path::from(path)).await {
            Ok(found) if found.meta.size <= MAX_METADATA => found,
            Ok(_) => return Err(unusable()),
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(store_failed(&error)),
        };
        let bytes = found.bytes().await.map_err(|error| store_failed(&error))?;
        serde_json::from_slice(&bytes).map(Some).map_err(|_| unusable())
    }
}

fn store_failed(error: &object_store::Error) -> Problem {
    tracing::error!(error = error as &dyn std::error::Error, "the object store failed");
    Problem::busy("the object store does not answer")
}

fn unusable() -> Problem {
    Problem::busy("the device's metadata cannot be read now")
}

fn meta_version(metadata: &serde_json::Value, file: &str) -> Result<u64, Problem> {
    metadata["signed"]["meta"][file]["version"].as_u64().ok_or_else(unusable)
}

/// The files of all targets that a `targets.json` lists, as `<sha256>.<name>`.
fn target_files(metadata: &serde_json::Value) -> Result<HashSet<String>, Problem> {
    let targets = metadata["signed"]["targets"].as_object().ok_or_else(unusable)?;
    targets
        .iter()
        .map(|(name, target)| {
            let sha256: Sha256Digest =
                target["hashes"]["sha256"].as_str().and_then(|hash| hash.parse().ok()).ok_or_else(unusable)?;
            let flat = name.bytes().all(|c| c.is_ascii_alphanumeric() || b"._-".contains(&c));
            if flat { Ok(format!("{sha256}.{name}")) } else { Err(unusable()) }
        })
        .collect()
}

impl Listed {
    fn get(&self, device: &DeviceName, version: u64) -> Option<Files> {
        let listed = self.0.lock().expect("nothing panics while it holds the lock");
        listed.get(device).filter(|(known, _)| *known == version).map(|(_, files)| files.clone())
    }

    fn remember(&self, device: &DeviceName, version: u64, files: Files) {
        let mut listed = self.0.lock().expect("nothing panics while it holds the lock");
        if listed.len() >= REMEMBERED {
            listed.clear();
        }
        listed.insert(device.clone(), (version, files));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_four_kinds_of_file_and_nothing_else() {
        for (file, kind) in [
            ("timestamp.json", Some(MetadataFile::Device)),
            ("1.root.json", Some(MetadataFile::Root)),
            ("17.snapshot.json", Some(MetadataFile::Device)),
            ("1767323045.targets.json", Some(MetadataFile::Device)),
            ("root.json", None),
            ("0.root.json", None),
            ("01.root.json", None),
            ("+1.root.json", None),
            ("1.timestamp.json", None),
            ("1.root.json.bak", None),
            ("..", None),
            ("../1.root.json", None),
            ("99999999999999999999999.root.json", None),
            ("", None),
        ] {
            assert_eq!(metadata_file(file), kind, "{file}");
        }
    }

    #[test]
    fn a_target_whose_name_is_not_flat_is_not_listed() {
        let hash = "a".repeat(64);
        let with = |name: &str| serde_json::json!({"signed": {"targets": {name: {"hashes": {"sha256": hash}}}}});
        assert_eq!(target_files(&with("spec.json")), Ok(HashSet::from([format!("{hash}.spec.json")])));
        assert!(target_files(&with("../spec.json")).is_err());
    }
}
