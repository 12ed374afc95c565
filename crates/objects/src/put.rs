//! Put: one new object, replacing what is there.

use std::sync::Arc;

use crate::{
    Failure, PutError, PutInput, PutOutput,
    core::Core,
    intake::{self, Limits, Taken, TakenBytes},
    records::Kind,
    sealing::At,
    version::{NewBytes, NewVersion},
};

impl Core {
    pub(crate) async fn put(self: &Arc<Self>, input: PutInput) -> Result<PutOutput, PutError> {
        let PutInput { bucket, key, creation, body, forbid_overwrite } = input;
        let place = self.place::<PutError>(&bucket).await?;
        self.check_overwrite::<PutError>(&place, &key, forbid_overwrite).await?;
        self.check_protected::<PutError>(&place, &key).await?;
        let max = self.settings.put_max_bytes;
        let limits = Limits {
            inline_bytes_max: self.settings.inline_bytes_max,
            length_max: max,
            // The ETag is made of it.
            md5: true,
        };
        let partition = place.partition(&key);
        let cipher = match creation.encrypted || self.settings.encrypt_all {
            true => Some(self.new_cipher()?),
            false => None,
        };
        let sealer = cipher.as_ref().map(|cipher| cipher.sealer(At::Position(0))).transpose()?;
        let taken = intake::take(&*self.store, partition, &key, body, limits, sealer).await;
        let Taken { length, crc64, md5, bytes, sealing } =
            taken.map_err(|error| error.into_put(max))?;
        let md5 = md5.ok_or_else(|| Failure::Internal("a put without an MD5".into()))?;
        let new_key = cipher.map(|cipher| self.seal_key(partition, &cipher)).transpose()?;
        let version = NewVersion {
            kind: Kind::Normal { md5 },
            length,
            crc64,
            attributes: creation.attributes,
            acl: creation.acl,
            tags: creation.tags,
            storage_class: creation.storage_class.unwrap_or(place.catalogue.storage_class),
            sealing,
            new_key,
            over: None,
        };
        let bytes = match bytes {
            TakenBytes::Inline(pieces) => NewBytes::Inline(pieces),
            TakenBytes::Blob(writer) => NewBytes::Writer(writer),
        };
        let written =
            self.write_version::<PutError>(place, key, version, bytes, forbid_overwrite).await?;
        Ok(PutOutput {
            etag: written.etag,
            md5,
            crc64,
            length,
            last_modified: written.modified_s,
            version_id: written.version_id,
            encrypted: sealing.is_some(),
        })
    }
}
