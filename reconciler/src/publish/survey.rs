//! Reads everything that the store remembers, for a database that does not.

use bytes::Bytes;
use futures::TryStreamExt as _;
use object_store::ObjectStoreExt as _;
use object_store::path::Path;
use tough::schema::{Signed, Targets};

use bellwether_schemas::targets::{Binding, EnrolledBy, SignedOffer};
use bellwether_schemas::{DeviceName, Sha256Digest};

use super::presented::{binding_of, verified};
use super::write::in_parallel;
use super::{Inner, PublishError, Publisher, layout};

/// No record of an enrollment is larger, in bytes.
const MAX_ENROLLED: u64 = 64 << 10;

/// What the store remembers of devices.
#[derive(Debug, Clone, Default)]
pub struct Survey {
    /// Devices that have metadata, by name.
    pub devices: Vec<Surveyed>,
    /// Tokens that are spent.
    pub enrolled: Vec<Enrolled>,
}

/// A device that has metadata of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surveyed {
    /// The device.
    pub device: DeviceName,
    /// By what it enrolled, as its metadata says.
    pub enrolled: Option<EnrolledBy>,
    /// What it finds now; none where that is nothing, or is damaged.
    pub offer: Option<SignedOffer>,
    /// What it found before, as far as that is kept.
    pub earlier: Vec<SignedOffer>,
    /// The highest version of its metadata.
    pub version: u64,
}

/// The record of a spent token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolled {
    /// SHA-256 of the token.
    pub token: Sha256Digest,
    /// SHA-256 of the SubjectPublicKeyInfo of the key that used it.
    pub fingerprint: Sha256Digest,
    /// The certificate that was issued, PEM.
    pub certificate: Option<String>,
}

impl Publisher {
    /// Reads what the store remembers of devices and tokens. What is damaged or not ours is left out, and told.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn survey(&self) -> Result<Survey, PublishError> {
        let store = self.inner.objects.store();
        let folders = store.list_with_delimiter(Some(&layout::devices())).await?.common_prefixes;
        let names: Vec<DeviceName> = folders.iter().filter_map(|path| path.filename()?.parse().ok()).collect();
        let inner = self.inner.clone();
        let devices = in_parallel(names, move |device: DeviceName| {
            let inner = inner.clone();
            async move { inner.survey_device(device).await }
        });
        let devices = devices.await?.into_iter().collect::<Result<Vec<_>, PublishError>>()?;
        let files: Vec<_> = store.list(Some(&layout::enrolled())).try_collect().await?;
        let tokens: Vec<Sha256Digest> =
            files.iter().filter_map(|file| file.location.filename()?.parse().ok()).collect();
        let inner = self.inner.clone();
        let enrolled = in_parallel(tokens, move |token: Sha256Digest| {
            let inner = inner.clone();
            async move { inner.survey_token(token).await }
        });
        let enrolled = enrolled.await?.into_iter().collect::<Result<Vec<_>, PublishError>>()?;
        Ok(Survey {
            devices: devices.into_iter().flatten().collect(),
            enrolled: enrolled.into_iter().flatten().collect(),
        })
    }
}

impl Inner {
    async fn survey_device(&self, device: DeviceName) -> Result<Option<Surveyed>, PublishError> {
        let found = match self.read_repository(&device).await {
            Ok(found) => Some(found),
            Err(damage) => {
                tracing::warn!(%device, %damage, "the device's metadata cannot be read as a whole");
                None
            }
        };
        let mut version = found.as_ref().map_or(0, |found| found.version.get());
        let (mut enrolled, offer) =
            found.map(|found| found.unsigned.binding).map_or((None, None), |binding| (binding.enrolled, binding.offer));
        let mut earlier = Vec::new();
        let files: Vec<_> = self.objects.store().list(Some(&layout::device(&device))).try_collect().await?;
        for file in files.iter().filter(|file| file.location.as_ref().ends_with(".targets.json")) {
            let bytes = self.objects.store().get(&file.location).await?.bytes().await?;
            let Some((binding, number)) = self.read_targets(&device, &bytes) else { continue };
            version = version.max(number);
            enrolled = enrolled.or(binding.enrolled);
            earlier.extend(binding.offer.filter(|signed| Some(signed) != offer.as_ref()));
        }
        Ok((version > 0).then_some(Surveyed { device, enrolled, offer, earlier, version }))
    }

    /// What a `targets.json` of ours says of this device, and its version.
    fn read_targets(&self, device: &DeviceName, bytes: &[u8]) -> Option<(Binding, u64)> {
        let targets: Signed<Targets> = verified(&self.roots, bytes).ok()?;
        let binding = binding_of(&targets.signed).ok().filter(|binding| binding.device == *device)?;
        Some((binding, targets.signed.version.get()))
    }

    async fn survey_token(&self, token: Sha256Digest) -> Result<Option<Enrolled>, PublishError> {
        let read = async |path: Path| match self.objects.store().get(&path).await {
            Ok(found) if found.meta.size <= MAX_ENROLLED => found.bytes().await.map(Some),
            Ok(_) | Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        };
        let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).ok();
        let record = read(layout::spent(&token)).await?.and_then(text);
        let certificate = read(layout::certificate(&token)).await?.and_then(text);
        // A record that cannot be read was made by nobody we know; the token stays spent by its file.
        let fingerprint = record.and_then(|record| record.trim_end().parse().ok());
        Ok(fingerprint.map(|fingerprint| Enrolled { token, fingerprint, certificate }))
    }
}
