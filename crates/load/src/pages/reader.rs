//! Reads kept pages back.

use std::collections::{BTreeMap, VecDeque};

use tokio::task::{JoinSet, spawn_blocking};

use super::KeptPage;
use super::chain::{Chains, CrawlEnd, Object, line};
use super::object::{self, FORMAT, Unusable};
use crate::destination::Destination;
use crate::error::LoadError;
use crate::log::ReportLog;
use crate::log::page_tally::PageTally;

/// The pages that earlier runs kept in one folder.
///
/// They come in the order in which they were read. Those of each crawl follow each other without a gap, and no page comes
/// twice, but for one case: a first page that comes again begins its crawl again, since a run had to start it over.
/// Where two runs kept pages at once, only those of the one that wrote last come, after those that it resumed from.
///
/// An object that is damaged or gone ends the crawls that it held pages of: what lies behind is left out and must be
/// asked for again. That is a warning here, never an error and never a wrong page.
#[derive(Debug)]
pub struct KeptPages {
    destination: Destination,
    folder: String,
    objects: VecDeque<Object>,
    next_sequence: u64,
    chains: Chains,
    /// The object that is being read ahead.
    ahead: JoinSet<Result<Fetched, LoadError>>,
    /// What came so far, damaged objects left out.
    tally: PageTally,
    /// Where damage is an error, since these pages are all that there is: what they must come to.
    proof: Option<PageProof>,
}

/// What the pages of a commit must come to.
#[derive(Debug, Clone, Copy)]
pub(super) struct PageProof {
    /// The commit.
    pub(super) version: i64,
    /// What it kept; absent in records of earlier versions.
    pub(super) kept: Option<PageTally>,
    /// Pages that it read, where only that is known.
    pub(super) pages: Option<u64>,
    /// Whether each crawl ends in a page without a next link. One of an id that went meanwhile does not.
    pub(super) ends: bool,
}

/// What became of an object: its pages, and their part of the tally.
type Fetched = Result<(Vec<KeptPage>, PageTally), Unusable>;

impl KeptPages {
    pub(super) async fn list(destination: &Destination, folder: &str) -> Result<Self, LoadError> {
        Self::list_line(destination, folder, None).await
    }

    /// The pages that this run committed, those that it resumed from among them. Damage is an error.
    pub(super) async fn list_committed(
        destination: &Destination,
        folder: &str,
        run: &str,
        proof: PageProof,
    ) -> Result<Self, LoadError> {
        let pages = Self::list_line(destination, folder, Some(&crate::destination::folder::encode(run))).await?;
        Ok(Self { proof: Some(proof), ..pages })
    }

    async fn list_line(destination: &Destination, folder: &str, run: Option<&str>) -> Result<Self, LoadError> {
        let found = destination.objects(folder).await?;
        let objects =
            found.iter().filter_map(|object| Object::from_path(destination.relative(&object.location), object.size));
        let objects: Vec<Object> = objects.collect();
        Ok(Self {
            destination: destination.clone(),
            folder: folder.to_owned(),
            next_sequence: objects.iter().map(|object| object.sequence + 1).max().unwrap_or(0),
            objects: line(objects, run).into(),
            chains: Chains::default(),
            ahead: JoinSet::new(),
            tally: PageTally::default(),
            proof: None,
        })
    }

    /// Whether nothing is left to read.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Objects that are left to read; each holds one page or several.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Compressed bytes that are left to read.
    pub fn bytes(&self) -> u64 {
        self.objects.iter().map(|object| object.bytes).sum()
    }

    /// The number from which a run that resumes from here counts its own objects.
    pub fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// What came so far, with pages that were passed over and without damaged objects.
    pub fn tally(&self) -> PageTally {
        self.tally
    }

    /// How far each crawl goes by the pages that came so far; where to go on once all came.
    pub fn ends(&self) -> &BTreeMap<String, CrawlEnd> {
        self.chains.ends()
    }

    /// The pages of the next object that has some. While they are worked on, one object more is read. May be dropped at
    /// any await and called again.
    ///
    /// # Errors
    /// The store fails.
    pub async fn next(&mut self) -> Result<Option<Vec<KeptPage>>, LoadError> {
        while let Some(object) = self.objects.front() {
            self.destination.stop.check()?;
            if self.ahead.is_empty() {
                self.ahead.spawn(fetch(self.destination.clone(), object.path.clone()));
            }
            let fetched = match self.ahead.join_next().await {
                Some(Ok(fetched)) => fetched?,
                Some(Err(_)) | None => return Err(LoadError::Task { task: "read kept pages".to_owned() }),
            };
            let path = self.objects.pop_front().map(|object| object.path).unwrap_or_default();
            if let Some(next) = self.objects.front() {
                self.ahead.spawn(fetch(self.destination.clone(), next.path.clone()));
            }
            let mut pages = match fetched {
                Ok((pages, part)) => {
                    self.tally = self.tally.and(part);
                    pages
                }
                Err(unusable) => {
                    self.pass_over(&path, unusable)?;
                    continue;
                }
            };
            pages.retain(|page| self.chains.take(page));
            if !pages.is_empty() {
                return Ok(Some(pages));
            }
        }
        self.prove()?;
        Ok(None)
    }

    /// Refuses pages that are not all that were kept.
    fn prove(&self) -> Result<(), LoadError> {
        let Some(PageProof { version, kept, pages, ends }) = self.proof else { return Ok(()) };
        let PageTally { pages: found, objects, .. } = self.tally;
        let open = || self.chains.ends().values().filter(|end| end.next.is_some()).count();
        let reason = match kept {
            Some(kept) if kept.pages != found || kept.objects != objects => {
                let PageTally { pages, objects: of, .. } = kept;
                format!("commit {version} kept {pages} pages in {of} objects there, and there are {found} in {objects}")
            }
            Some(kept) if kept != self.tally => format!("its pages are not those that commit {version} kept there"),
            None if ends && pages.is_some_and(|pages| pages > found) => {
                let pages = pages.unwrap_or_default();
                format!("commit {version} read {pages} pages, and there are {found}")
            }
            _ if self.chains.has_gap() => "an object with pages between others is missing".to_owned(),
            _ if ends && open() > 0 => format!("its last page is missing: {} of its reads have no end", open()),
            _ => return Ok(()),
        };
        Err(LoadError::Damaged { path: self.destination.shown(&self.folder), reason })
    }

    fn pass_over(&self, path: &str, unusable: Unusable) -> Result<(), LoadError> {
        let path = self.destination.shown(path);
        match (self.proof.is_some(), unusable) {
            (true, Unusable::Damaged(reason)) => return Err(LoadError::Damaged { path, reason }),
            (true, Unusable::Newer(format)) => {
                return Err(LoadError::NewerFormat { path, of: "format", format, known: FORMAT });
            }
            (false, Unusable::Damaged(reason)) => {
                tracing::warn!(path, reason, "kept pages cannot be used; they will be asked for again");
            }
            (false, Unusable::Newer(format)) => {
                tracing::warn!(path, format, "kept pages are of a later version; they will be asked for again");
            }
        }
        Ok(())
    }
}

impl ReportLog {
    /// Why an object of kept pages cannot be used, if it cannot.
    ///
    /// # Errors
    /// The store fails.
    pub(crate) async fn unusable(&self, path: &str) -> Result<Option<String>, LoadError> {
        Ok(match fetch(self.destination.clone(), path.to_owned()).await? {
            Ok(_) => None,
            Err(Unusable::Damaged(reason)) => Some(reason),
            Err(Unusable::Newer(format)) => Some(format!("it has format {format}, which this version does not read")),
        })
    }
}

/// Reads one object.
async fn fetch(destination: Destination, path: String) -> Result<Fetched, LoadError> {
    // The run that removed it has committed, or has no use for it.
    let Some(object) = destination.get(&path).await? else {
        return Ok(Err(Unusable::Damaged("it is gone".to_owned())));
    };
    let decoded = spawn_blocking(move || {
        let pages = object::decode(&object)?;
        let mut part = PageTally::default();
        part.add(&path, &object, pages.len());
        Ok((pages, part))
    });
    let decoded = decoded.await;
    decoded.map_err(|_| LoadError::Task { task: "decompress kept pages".to_owned() })
}
