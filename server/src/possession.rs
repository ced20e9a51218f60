//! Whose a data directory and an object store are. Put together wrongly, by a typing error, a restored catalog or a copy, they lose
//! or double rows in silence: so each says which catalog it belongs to, and all is compared before anything is written.
//!
//! - A write-ahead log names streams and epochs by numbers that another catalog has too: replayed there, it adds rows that are not
//!   its own. One of an earlier era is set aside: what a restored catalog has forgotten, its epochs included, is given out again.
//! - A catalog and its copy name the same parts: a DROP TABLE in the one deletes what the other shows (I7). The newest era has
//!   the object store.
//!
//! ```text
//! DATA_DIR/catalog                      which catalog the write-ahead log is of
//! objects: _catalog/owner.json          which catalog the parts are of, in whatever era
//!          _catalog/era-0000000001.json which one of that era
//! ```
//!
//! A mark is created and never changed, so that of two that come at once one has it, whatever a listing shows.
//!
//! **If we die here:** between two of these writes, the next start of the same finds its own and goes on. What was refused has
//! written nothing.

use anyhow::{Context, bail};
use catalog::{CatalogId, CatalogIdentity};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{Error, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::data_dir::DataDir;

/// Where marks are. No part's name begins so.
const FOLDER: &str = "_catalog";
const OWNER: &str = "_catalog/owner.json";
const ERAS: &str = "era-";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Owner {
    catalog: CatalogId,
}

/// What a data directory and an object store say of themselves.
pub struct Possessions<'a> {
    data_dir: &'a DataDir,
    objects: &'a dyn ObjectStore,
    /// The object store, for people.
    place: String,
    log_of: Option<CatalogIdentity>,
    owner: Option<Owner>,
    eras: Vec<CatalogIdentity>,
}

impl<'a> Possessions<'a> {
    /// Reads what they say.
    ///
    /// # Errors
    /// If they cannot be read, or what is there cannot be understood.
    pub async fn read(data_dir: &'a DataDir, objects: &'a dyn ObjectStore, place: String) -> anyhow::Result<Self> {
        let mut read = Self { data_dir, objects, place, log_of: data_dir.belongs_to()?, owner: None, eras: Vec::new() };
        read.owner = read.mark(&Path::from(OWNER)).await?;
        read.eras = read.eras().await?;
        Ok(read)
    }

    /// Whether a catalog may be made in a store that has none: not where there are rows or parts of one that is elsewhere.
    ///
    /// # Errors
    /// If not; `catalog` is where it would be made.
    pub fn check_new(&self, catalog: &str) -> anyhow::Result<()> {
        let of = match (&self.log_of, &self.owner) {
            (Some(log_of), _) => format!("the data directory {} is of {log_of}", self.data_dir.path().display()),
            (None, Some(owner)) => format!("{} holds the parts of {}", self.place, owner.catalog),
            (None, None) => return Ok(()),
        };
        bail!(
            "there is no catalog at {catalog}, and {of}. To move that catalog, stop its server, and run: millrace catalog copy --from \
             URL --to URL. To begin a new one, name another --data-dir and another --object-store"
        )
    }

    /// Whether all may be used by this catalog. Writes nothing.
    ///
    /// # Errors
    /// If it is another's, or of a later era, or of another copy. `is_own`: the catalog is the one that the data directory holds.
    pub fn check(&self, mine: &CatalogIdentity, is_own: bool) -> anyhow::Result<()> {
        let path = self.data_dir.path().display();
        match &self.log_of {
            None if !is_own && self.data_dir.is_used() => bail!(
                "the data directory {path} does not say which catalog its write-ahead log is of: start once without --catalog, which \
                 notes it, and move its catalog by millrace catalog copy; or name another --data-dir"
            ),
            None => {}
            Some(other) if other.id != mine.id => bail!(
                "the data directory {path} belongs to another catalog, {other}, and this one is {mine}: start with that catalog, or \
                 name another --data-dir"
            ),
            Some(other) if other.era > mine.era || other.era == mine.era && other != mine => bail!(
                "the data directory {path} belongs to {other}, and this is {mine}: the catalog was copied, and another copy has been \
                 started. Start with that one, or name another --data-dir"
            ),
            Some(_) => {}
        }
        self.check_parts(mine)
    }

    fn check_parts(&self, mine: &CatalogIdentity) -> anyhow::Result<()> {
        let place = &self.place;
        if let Some(owner) = self.owner.as_ref().filter(|owner| owner.catalog != mine.id) {
            bail!(
                "{place} holds the parts of another catalog, {}, and this one is {mine}: start with that catalog, or give each a \
                 prefix of its own",
                owner.catalog
            );
        }
        let another = self.eras.iter().find(|other| other.era > mine.era || other.era == mine.era && *other != mine);
        match another {
            None => Ok(()),
            Some(other) => bail!(
                "{place} belongs to {other}, and this is {mine}: the catalog was copied, and another copy has been started. Start with \
                 that one"
            ),
        }
    }

    /// Makes all of it this catalog's. Afterwards the write-ahead log may be opened.
    ///
    /// # Errors
    /// If another was quicker, or something cannot be written.
    pub async fn take(mut self, mine: &CatalogIdentity) -> anyhow::Result<()> {
        if self.owner.is_none() || !self.eras.contains(mine) {
            self.mark_parts(mine).await?;
        }
        match &self.log_of {
            Some(log_of) if log_of == mine => return Ok(()),
            Some(earlier) => self.data_dir.set_log_aside(earlier.era)?,
            None => {}
        }
        // After the log: a process that dies in between finds none to set aside.
        self.data_dir.belong_to(mine)
    }

    async fn mark_parts(&mut self, mine: &CatalogIdentity) -> anyhow::Result<()> {
        let owner = Owner { catalog: mine.id.clone() };
        self.owner = Some(self.create(&Path::from(OWNER), &owner).await?);
        // Before the next: whoever was slower leaves no mark in another's store.
        self.check_parts(mine)?;
        let era = Path::from(format!("{FOLDER}/{ERAS}{:010}.json", mine.era));
        let of_this_era = self.create(&era, mine).await?;
        self.eras = self.eras().await?;
        self.eras.push(of_this_era);
        self.check_parts(mine)
    }

    /// Creates a mark; what is there afterwards, ours or another's.
    async fn create<T: Clone + Serialize + DeserializeOwned>(&self, location: &Path, mark: &T) -> anyhow::Result<T> {
        if let Some(found) = self.mark(location).await? {
            return Ok(found);
        }
        let payload = PutPayload::from(serde_json::to_vec(mark).context("a mark is text")?);
        match self.objects.put_opts(location, payload, PutMode::Create.into()).await {
            Ok(_) => Ok(mark.clone()),
            Err(Error::AlreadyExists { .. }) => {
                let found = self.mark(location).await?;
                found.with_context(|| format!("{location} of {} was there, and is not", self.place))
            }
            Err(error) => Err(error).with_context(|| format!("cannot write to {}", self.place)),
        }
    }

    async fn mark<T: DeserializeOwned>(&self, location: &Path) -> anyhow::Result<Option<T>> {
        let cannot_read = || format!("cannot read {}", self.place);
        let found = match self.objects.get(location).await {
            Err(Error::NotFound { .. }) => return Ok(None),
            found => found.with_context(cannot_read)?.bytes().await.with_context(cannot_read)?,
        };
        let mark = serde_json::from_slice(&found)
            .with_context(|| format!("{location} of {} does not say whose the parts are: it is damaged", self.place));
        mark.map(Some)
    }

    async fn eras(&self) -> anyhow::Result<Vec<CatalogIdentity>> {
        let listed: Vec<ObjectMeta> = self
            .objects
            .list(Some(&Path::from(FOLDER)))
            .try_collect()
            .await
            .with_context(|| format!("cannot read {}", self.place))?;
        let mut eras = Vec::new();
        for meta in listed {
            if meta.location.filename().is_some_and(|name| name.starts_with(ERAS)) {
                eras.extend(self.mark(&meta.location).await?);
            }
        }
        Ok(eras)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::memory::InMemory;
    use tempfile::TempDir;
    use vfs::{Fault, FaultyStore, SeededRandom, StoreOp, SystemClock};

    use super::*;

    struct Stage {
        directory: TempDir,
        objects: Arc<FaultyStore>,
    }

    impl Stage {
        fn new() -> Self {
            let objects = FaultyStore::new(Arc::new(InMemory::new()), Arc::new(SystemClock::new()));
            Self { directory: tempfile::tempdir().unwrap(), objects: Arc::new(objects) }
        }

        fn data_dir(&self, name: &str) -> DataDir {
            DataDir::open(&self.directory.path().join(name), &SeededRandom::new(1)).unwrap()
        }

        async fn start(&self, data_dir: &str, catalog: &CatalogIdentity, is_own: bool) -> anyhow::Result<()> {
            let data_dir = self.data_dir(data_dir);
            let possessions = Possessions::read(&data_dir, &*self.objects, "the store".to_owned()).await?;
            possessions.check(catalog, is_own)?;
            possessions.take(catalog).await
        }

        async fn refusal(&self, data_dir: &str, catalog: &CatalogIdentity) -> String {
            self.start(data_dir, catalog, false).await.unwrap_err().to_string()
        }
    }

    fn catalog(id: &str, era: u32, copy: Option<u64>) -> CatalogIdentity {
        CatalogIdentity { id: CatalogId(id.to_owned()), era, copy }
    }

    #[tokio::test]
    async fn what_is_anothers_is_refused_and_stays_as_it_was() {
        let stage = Stage::new();
        let (a, b) = (catalog("a", 1, None), catalog("b", 1, None));
        stage.start("of-a", &a, false).await.unwrap();
        stage.start("of-a", &a, false).await.expect("at each start");
        assert!(stage.refusal("of-a", &b).await.contains("data directory"));
        assert!(stage.refusal("of-b", &b).await.contains("parts of another catalog, a,"));
        stage.start("of-b", &a, false).await.expect("what was refused has taken nothing");

        let other = Stage { directory: stage.directory, objects: Stage::new().objects };
        assert!(other.refusal("of-a", &b).await.contains("belongs to another catalog, a era 1"));
        other.start("of-a", &a, false).await.expect("nor has this");
    }

    #[tokio::test]
    async fn the_newest_era_has_them_and_of_two_copies_the_one_that_was_started() {
        let stage = Stage::new();
        let (first, monday, tuesday) = (catalog("a", 1, None), catalog("a", 2, Some(1)), catalog("a", 2, Some(2)));
        stage.start("data", &first, false).await.unwrap();
        std::fs::create_dir(stage.directory.path().join("data/wal")).unwrap();
        stage.start("data", &tuesday, false).await.unwrap();
        let aside = stage.directory.path().join("data/wal-of-era-1");
        assert!(aside.exists() && !stage.directory.path().join("data/wal").exists());
        for other in [&first, &monday] {
            assert!(stage.refusal("data", other).await.contains("another copy has been started"));
            assert!(stage.refusal("fresh", other).await.contains("another copy has been started"));
        }
        // However often: a name that is taken is no reason not to start.
        std::fs::write(aside.join("segment"), "x").unwrap();
        std::fs::create_dir(stage.directory.path().join("data/wal")).unwrap();
        stage.data_dir("data").set_log_aside(1).unwrap();
        assert!(stage.directory.path().join("data/wal-of-era-1.2").exists());
    }

    #[tokio::test]
    async fn of_two_that_come_at_once_one_has_the_parts_even_where_listings_are_late() {
        let stage = Stage::new();
        let (a, b) = (catalog("a", 1, None), catalog("b", 2, Some(1)));
        let data_dir = stage.data_dir("of-b");
        let late = Possessions::read(&data_dir, &*stage.objects, "the store".to_owned()).await.unwrap();
        late.check(&b, false).unwrap();
        stage.start("of-a", &a, false).await.unwrap();
        assert!(late.take(&b).await.unwrap_err().to_string().contains("another catalog, a,"));
        drop(data_dir);
        stage.start("of-a", &a, false).await.expect("and keeps them");
    }

    #[tokio::test]
    async fn no_catalog_is_made_beside_rows_or_parts_of_another() {
        let stage = Stage::new();
        let data_dir = stage.data_dir("data");
        let read = async || Possessions::read(&data_dir, &*stage.objects, "the store".to_owned()).await.unwrap();
        read().await.check_new("redb:x").expect("there is nothing yet");
        read().await.take(&catalog("a", 1, None)).await.unwrap();
        let error = read().await.check_new("redb:x").unwrap_err().to_string();
        assert!(error.contains("no catalog at redb:x") && error.contains("catalog copy"), "{error}");
        let other = stage.data_dir("other");
        let parts = Possessions::read(&other, &*stage.objects, "the store".to_owned()).await.unwrap();
        assert!(parts.check_new("redb:x").unwrap_err().to_string().contains("the store holds the parts of a"));
    }

    #[tokio::test]
    async fn a_directory_of_before_is_taken_by_its_own_catalog_only() {
        let stage = Stage::new();
        let wal = stage.directory.path().join("data/wal");
        std::fs::create_dir_all(&wal).unwrap();
        std::fs::write(wal.join("segment"), "x").unwrap();
        let mine = catalog("a", 1, None);
        assert!(stage.refusal("data", &mine).await.contains("start once without --catalog"));
        stage.start("data", &mine, true).await.unwrap();
        stage.start("data", &mine, false).await.expect("now it says so");
    }

    #[tokio::test]
    async fn a_start_that_fails_in_between_goes_on_the_next_time() {
        let stage = Stage::new();
        let mine = catalog("a", 1, None);
        for fault in [Fault::ErrorBefore, Fault::ErrorAfter] {
            stage.objects.script(StoreOp::Put, [fault]);
            stage.start("data", &mine, false).await.unwrap_err();
        }
        stage.start("data", &mine, false).await.unwrap();
        stage.objects.put(&Path::from(OWNER), "{".into()).await.unwrap();
        let error = stage.refusal("data", &mine).await;
        assert!(error.contains("_catalog/owner.json") && error.contains("damaged"), "{error}");
    }
}
