//! Dead letters at the end of a session: left where people find them although nothing is committed, or replaced by those
//! that are still of no use.

use object_store::ObjectStoreExt;

use super::Session;
use crate::error::LoadError;

/// Files of dead letters without a commit that stay, the newest.
const KEPT: usize = 5;

impl Session {
    /// Ends the run without a commit, as [`Self::abandon`] does, but leaves its dead letters where people can look at them.
    /// Gives that place, if there are any. Only those of the last few runs are kept.
    ///
    /// # Errors
    /// The store fails. Nothing is committed then either.
    pub async fn reject(mut self) -> Result<Option<String>, LoadError> {
        let kept = match self.dead_letters.take() {
            Some(letters) => {
                let staged = letters.finish().await?.staged;
                let path = format!("{}/{}.jsonl.zst", self.log.rejected(), self.run);
                let (from, to) = (self.destination.key(&staged)?, self.destination.key(&path)?);
                let moved = self.destination.retidied(|| self.destination.store.rename(&from, &to)).await;
                moved.map_err(self.destination.failed("write", &path))?;
                self.drop_old_rejected(&path).await;
                Some(self.destination.shown(&path))
            }
            None => None,
        };
        self.abandon().await;
        Ok(kept)
    }

    /// Takes these files of dead letters away with the commit: what they hold is written again.
    pub fn take_letters_away(&mut self, paths: Vec<String>) {
        self.letters_to_remove = paths;
    }

    /// Removes all but the newest files. What cannot be removed now, a later run removes.
    async fn drop_old_rejected(&self, own: &str) {
        let removal = async {
            let mut found = self.destination.objects(self.log.rejected().as_str()).await?;
            found.retain(|object| self.destination.relative(&object.location) != own);
            found.sort_by_key(|object| std::cmp::Reverse(object.last_modified));
            for object in found.iter().skip(KEPT - 1) {
                self.destination.delete(self.destination.relative(&object.location)).await?;
            }
            Ok::<(), LoadError>(())
        };
        if let Err(error) = removal.await {
            tracing::warn!(%error, "old files of rejected records could not be removed; a later run will");
        }
    }
}
