//! A table's commits, newest first, for `system.commits`, and when it was emptied.

use bytes::Bytes;
use futures::FutureExt;

use crate::ddl;
use crate::keys::{
    self,
    log::{CommitChunk, LogRecord},
};
use crate::store::{KeyRange, RangeOptions, RangePage, Read};
use crate::{Catalog, CatalogError, CommitRecord, TableId, Version};

impl Catalog {
    /// At most `limit` commits of a table, newest first.
    pub async fn commits(&self, table: TableId, limit: usize) -> Result<Vec<CommitRecord>, CatalogError> {
        let mut commits = Newest { commits: Vec::new(), limit };
        let mut range = keys::log::of_table(table);
        while !commits.is_full() {
            let page = self.newest_page(table, &range).await?;
            for (key, value) in &page.entries {
                commits.add(key, value)?;
            }
            match page.entries.last() {
                Some((last, _)) if page.more => range.end = last.clone(),
                _ => break,
            }
        }
        commits.commits.truncate(limit);
        Ok(commits.commits)
    }

    /// The versions at which a table was emptied by TRUNCATE, oldest first.
    pub async fn truncations(&self, table: TableId) -> Result<Vec<Version>, CatalogError> {
        let mut found = Vec::new();
        let mut range = keys::log::of_table(table);
        loop {
            let page = self.newest_page(table, &range).await?;
            for (key, value) in &page.entries {
                if let LogRecord::Truncated { .. } = keys::log::deser_value(key, value)? {
                    found.push(keys::log::deser_key(key)?.1);
                }
            }
            match page.entries.last() {
                Some((last, _)) if page.more => range.end = last.clone(),
                _ => break,
            }
        }
        found.reverse();
        Ok(found)
    }

    /// The last records of the range, last first.
    async fn newest_page(&self, table: TableId, range: &KeyRange) -> Result<RangePage, CatalogError> {
        self.once("listing a table's commits", |transaction| {
            async move {
                ddl::table::require(transaction, table).await?;
                let options = RangeOptions { reverse: true, read: Read::Snapshot, ..RangeOptions::default() };
                Ok(transaction.range(range.clone(), options).await?)
            }
            .boxed()
        })
        .await
    }
}

/// Commits gathered from the log read backwards: each chunk goes to the commit that it is of.
struct Newest {
    commits: Vec<CommitRecord>,
    limit: usize,
}

impl Newest {
    /// Whether the `limit`-th commit is known to be whole: one more has begun.
    fn is_full(&self) -> bool {
        self.commits.len() > self.limit
    }

    fn add(&mut self, key: &Bytes, value: &Bytes) -> Result<(), CatalogError> {
        let (_, version) = keys::log::deser_key(key)?;
        let LogRecord::Commit(chunk) = keys::log::deser_value(key, value)? else {
            return Ok(());
        };
        match self.commits.last_mut() {
            Some(commit) if commit.version.same_commit(version) => extend(commit, chunk),
            _ => self.commits.push(begin(version, chunk)),
        }
        Ok(())
    }
}

/// The last chunk of a commit bears the commit's version.
fn begin(version: Version, chunk: CommitChunk) -> CommitRecord {
    let mut commit = CommitRecord {
        version,
        writer: chunk.writer,
        wall: chunk.wall,
        streams: Vec::new(),
        parts_added: 0,
        parts_removed: 0,
        rows: 0,
        bytes: 0,
    };
    extend(&mut commit, chunk);
    commit
}

/// Adds an earlier chunk of the same commit.
fn extend(commit: &mut CommitRecord, chunk: CommitChunk) {
    commit.rows += chunk.advances.iter().map(|advance| advance.ledger.rows).sum::<u64>();
    commit.streams.splice(0..0, chunk.advances);
    commit.parts_added += chunk.parts_added.len() as u64;
    commit.parts_removed += chunk.parts_removed.len() as u64;
    commit.bytes += chunk.parts_added.iter().map(|part| part.bytes).sum::<u64>();
}
