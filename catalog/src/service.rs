//! What a worker asks of a catalog: whole typed requests, never an open transaction, so that a wire can be put between
//! without a second design (PROTOCOL, "Epochs, leases, grants"). A lost reply is `MaybeCommitted`.

use std::fmt;

use async_trait::async_trait;

use crate::{
    Catalog, CatalogError, Channel, ChannelCloser, ChannelIdentity, CommitOutcome, CommitRequest, CommitToken,
    LabelOutcome, PartId, TableId, TableSnapshot, UploadIntent, Version, WriterId,
};

/// How a void ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VoidOutcome {
    /// The commit of this token did not happen and never will: its writer may forget it.
    Voided,
    /// It had happened; this is what it yielded.
    Committed(Version),
}

/// The catalog as a worker sees it.
#[async_trait]
pub trait CatalogService: Send + Sync + fmt::Debug {
    /// Announces objects before they are uploaded. A part is staged once, by the one that made its id, before its commit is first
    /// sent. After an error its id is given up: its intent may have been there, and the sweeper may have taken it (I7).
    async fn stage(&self, intents: &[UploadIntent]) -> Result<(), CatalogError>;

    /// One attempt at a commit (PROTOCOL, "Commit"). After [`CatalogError::MaybeCommitted`] the identical request is sent
    /// again until it has a known end, or voided: see [`commit_settled`](crate::commit_settled).
    ///
    /// After `Fenced` a writer forgets the request and deletes nothing: what it uploaded has intents, and those are the
    /// sweeper's (I7).
    async fn commit(&self, request: &CommitRequest) -> Result<CommitOutcome, CatalogError>;

    /// Makes sure that a commit whose outcome is unknown never happens, unless it has (I6). Asked only by the writer itself,
    /// for the last commit that it sent.
    async fn void(&self, writer: WriterId, token: CommitToken) -> Result<VoidOutcome, CatalogError>;

    /// The table as of all commits answered before this call.
    async fn snapshot(&self, table: TableId) -> Result<TableSnapshot, CatalogError>;
}

/// The catalog as an insert channel sees it.
#[async_trait]
pub trait ChannelService: CatalogService {
    /// Opens the channel of that identity into a table. `NotFound` if the table is gone. Run again, it answers the same channel.
    async fn open_channel(&self, table: TableId, identity: &ChannelIdentity) -> Result<Channel, CatalogError>;

    /// Closes it: no commit of it succeeds any more (I2). Its own process does so once it knows the end of all that it sent.
    async fn close_channel(
        &self,
        table: TableId,
        identity: &ChannelIdentity,
        closer: ChannelCloser,
    ) -> Result<(), CatalogError>;

    /// How the INSERT ended that left this label, if one did.
    async fn label(&self, table: TableId, label: &str) -> Result<Option<LabelOutcome>, CatalogError>;

    /// Makes intents young again, so that the sweeper does not take the uploads of a writer that is still at work. Of parts
    /// whose intent is gone nothing is changed: their commit is `Fenced`.
    async fn renew(&self, parts: &[PartId]) -> Result<(), CatalogError>;
}

#[async_trait]
impl ChannelService for Catalog {
    async fn open_channel(&self, table: TableId, identity: &ChannelIdentity) -> Result<Channel, CatalogError> {
        self.open_channel_settled(table, identity).await
    }

    async fn close_channel(
        &self,
        table: TableId,
        identity: &ChannelIdentity,
        closer: ChannelCloser,
    ) -> Result<(), CatalogError> {
        self.close_channel_settled(table, identity, closer).await
    }

    async fn label(&self, table: TableId, label: &str) -> Result<Option<LabelOutcome>, CatalogError> {
        self.label_outcome(table, label).await
    }

    async fn renew(&self, parts: &[PartId]) -> Result<(), CatalogError> {
        self.renew_intents(parts).await
    }
}

#[async_trait]
impl CatalogService for Catalog {
    async fn stage(&self, intents: &[UploadIntent]) -> Result<(), CatalogError> {
        self.stage_settled(intents).await
    }

    async fn commit(&self, request: &CommitRequest) -> Result<CommitOutcome, CatalogError> {
        self.commit_once(request).await
    }

    async fn void(&self, writer: WriterId, token: CommitToken) -> Result<VoidOutcome, CatalogError> {
        self.void_settled(writer, token).await
    }

    async fn snapshot(&self, table: TableId) -> Result<TableSnapshot, CatalogError> {
        self.snapshot_at_head(table).await
    }
}
