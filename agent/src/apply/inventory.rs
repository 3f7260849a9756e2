//! What is placed on the device, and what shall be.

use std::collections::{BTreeMap, BTreeSet};

use bellwether_schemas::id::Sha256Digest;
use bellwether_schemas::name::ArtifactName;
use bellwether_schemas::spec::{DevicePath, DeviceSpec, FileMode, SpecArtifact, SpecFile};
use serde::{Deserialize, Serialize};

use super::root::{Found, Root};
use super::{Applier, ApplyError, owners};

/// Everything that one spec places.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Inventory {
    /// The spec; absent where nothing was ever placed.
    pub(crate) digest: Option<Sha256Digest>,
    /// Files by path.
    pub(crate) files: BTreeMap<DevicePath, PlacedFile>,
    /// Artifacts by directory.
    pub(crate) artifacts: BTreeMap<DevicePath, PlacedArtifact>,
    /// Directories that this agent made.
    pub(crate) dirs: BTreeSet<String>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PlacedFile {
    pub(crate) sha256: Sha256Digest,
    pub(crate) mode: FileMode,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    /// What somebody else had placed there before.
    pub(crate) original: Option<Original>,
}

/// A file that was there before; its content is in the content store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Original {
    pub(crate) sha256: Sha256Digest,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// One artifact: `<dest>/<id>/<name>`, with the links `current` and `previous`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PlacedArtifact {
    pub(crate) name: ArtifactName,
    pub(crate) sha256: Sha256Digest,
    pub(crate) keep: u32,
    /// Ids of earlier versions that were final, the newest first.
    pub(crate) history: Vec<String>,
}

impl PlacedArtifact {
    /// The name of the version's directory.
    pub(crate) fn id(&self) -> String {
        self.sha256.to_string()[..16].to_owned()
    }

    /// Every directory that belongs to it.
    pub(crate) fn ids(&self) -> impl Iterator<Item = String> {
        std::iter::once(self.id()).chain(self.history.iter().cloned())
    }
}

impl Inventory {
    /// Stored content that it needs to be placed again.
    pub(crate) fn contents(&self) -> impl Iterator<Item = Sha256Digest> {
        let originals = self.files.values().filter_map(|file| file.original).map(|original| original.sha256);
        self.files.values().map(|file| file.sha256).chain(originals)
    }
}

impl Applier {
    /// What a spec places, seen from what is there; refuses what somebody else placed. `keep_originals` stores what will be replaced.
    pub(super) fn survey(
        &self,
        root: &Root,
        spec: &DeviceSpec,
        owned: &[Inventory],
        keep_originals: bool,
    ) -> Result<Inventory, ApplyError> {
        let mut new = Inventory { digest: Some(spec.digest()), ..Inventory::default() };
        for file in &spec.files {
            let original = self.original(root, file, owned, keep_originals)?;
            let (uid, gid) = owners::resolve(file)?;
            let sha256 = content_of(file);
            new.files.insert(file.path.clone(), PlacedFile { sha256, mode: file.mode, uid, gid, original });
        }
        for artifact in &spec.artifacts {
            new.artifacts.insert(artifact.dest.clone(), survey_artifact(root, artifact, owned)?);
        }
        let needed = new.files.keys().flat_map(|path| path.ancestors().map(str::to_owned).collect::<Vec<_>>());
        let dests = new
            .artifacts
            .keys()
            .flat_map(|dest| dest.ancestors().map(str::to_owned).chain([dest.to_string()]).collect::<Vec<_>>());
        for dir in needed.chain(dests).collect::<BTreeSet<_>>() {
            if owned.iter().any(|inventory| inventory.dirs.contains(&dir)) || !root.has_dir(&dir)? {
                new.dirs.insert(dir);
            }
        }
        Ok(new)
    }

    fn original(
        &self,
        root: &Root,
        file: &SpecFile,
        owned: &[Inventory],
        keep: bool,
    ) -> Result<Option<Original>, ApplyError> {
        if let Some(placed) = owned.iter().find_map(|inventory| inventory.files.get(&file.path)) {
            return Ok(placed.original);
        }
        match root.look(&file.path)? {
            Found::Nothing => Ok(None),
            Found::File if file.overwrite => {
                let (original, content) = root.read_original(&file.path)?;
                if keep {
                    crate::disk::replace(&self.content(&original.sha256), &content)?;
                }
                Ok(Some(original))
            }
            Found::File | Found::Other => Err(ApplyError::Foreign(file.path.to_string())),
        }
    }
}

/// The content of a file of a spec.
pub(super) fn content_of(file: &SpecFile) -> Sha256Digest {
    let inline = || Sha256Digest::of(file.content.as_deref().unwrap_or_default().as_bytes());
    file.source.map_or_else(inline, |source| source.sha256)
}

fn survey_artifact(root: &Root, artifact: &SpecArtifact, owned: &[Inventory]) -> Result<PlacedArtifact, ApplyError> {
    let dest = &artifact.dest;
    // The first inventory is what was final last: only that goes into the history.
    let earlier = owned.iter().find_map(|inventory| inventory.artifacts.get(dest));
    if earlier.is_none() {
        for link in ["current", "previous"] {
            let path = format!("{dest}/{link}").parse().map_err(|_| ApplyError::Foreign(dest.to_string()))?;
            if !matches!(root.look(&path)?, Found::Nothing) {
                return Err(ApplyError::Foreign(format!("{path}")));
            }
        }
    }
    let mut placed = PlacedArtifact {
        name: artifact.name.clone(),
        sha256: artifact.source.sha256,
        keep: artifact.keep,
        history: Vec::new(),
    };
    let known =
        |inventory: &Inventory| inventory.artifacts.get(dest).is_some_and(|a| a.ids().any(|id| id == placed.id()));
    if !owned.iter().any(known) {
        let path = format!("{dest}/{}/{}", placed.id(), placed.name);
        let path = path.parse().map_err(|_| ApplyError::Foreign(dest.to_string()))?;
        if !matches!(root.look(&path)?, Found::Nothing) {
            return Err(ApplyError::Foreign(path.to_string()));
        }
    }
    if let Some(earlier) = owned.first().and_then(|old| old.artifacts.get(dest)) {
        placed.history = earlier.ids().filter(|id| *id != placed.id()).collect();
        placed.history.truncate(usize::try_from(artifact.keep).unwrap_or(usize::MAX));
    }
    Ok(placed)
}
