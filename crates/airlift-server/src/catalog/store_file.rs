//! Files of jobs: any bytes, stored by their digest. What they are for is said by the job that names them.

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use sha2::Digest as _;

use super::Catalog;
use super::publish::PublishError;
use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::store::objects::Incoming;

/// A file that is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StoredFile {
    pub(crate) sha256: Sha256,
    /// In bytes.
    pub(crate) size: u64,
}

impl Catalog {
    /// Takes a file in. It is there as a whole, or not at all.
    pub(crate) async fn store_file<E: std::fmt::Display>(
        &self,
        organization: i64,
        body: impl Stream<Item = Result<Bytes, E>>,
        max_size: u64,
        now: Timestamp,
    ) -> Result<StoredFile, PublishError> {
        let _turn = self.turn(organization).await?;
        let mut incoming = self.images.objects().receive().await?;
        let file = match receive(&mut incoming, body, max_size).await {
            Ok(file) => file,
            Err(error) => {
                incoming.discard().await;
                return Err(error);
            }
        };
        incoming.keep(&file.sha256).await?;
        let size = i64::try_from(file.size).unwrap_or(i64::MAX);
        self.database
            .insert_upload(organization, &file.sha256.to_string(), size, now)
            .await
            .map_err(|error| PublishError::Catalog(error.into()))?;
        Ok(file)
    }
}

async fn receive<E: std::fmt::Display>(
    incoming: &mut Incoming,
    body: impl Stream<Item = Result<Bytes, E>>,
    max_size: u64,
) -> Result<StoredFile, PublishError> {
    let mut body = std::pin::pin!(body);
    let (mut size, mut digest) = (0, sha2::Sha256::new());
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|error| PublishError::BrokenOff(error.to_string()))?;
        size += piece.len() as u64;
        if size > max_size {
            return Err(PublishError::TooLarge(max_size));
        }
        digest.update(&piece);
        incoming.write(&piece).await?;
    }
    if size == 0 {
        return Err(PublishError::Empty);
    }
    Ok(StoredFile {
        sha256: Sha256(digest.finalize().into()),
        size,
    })
}
