//! Insert channels: streams that clients' INSERTs advance (PROTOCOL, "Streams"). One belongs to one process for ever: it is opened
//! and granted in one transaction, and never granted again.
//!
//! | the process dies | then |
//! |---|---|
//! | before or while it is opened | there is none, or one without rows, which whoever starts next closes |
//! | with rows in hand | nothing of them was visible; their uploads are the sweeper's |
//! | with a commit sent | it happened or not; a label tells it to the client that asks again |
//!
//! Closing takes the owner away, so that a process that was held for dead, and is not, commits nothing more (I2).

use futures::FutureExt;
use vfs::planted;

use crate::ddl::{self, next_id};
use crate::keys::{self, Nonce, channel::ChannelRecord, checkpoint::CheckpointRecord, counter::Counter};
use crate::keys::{log::LogRecord, owner::OwnerRecord};
use crate::store::{KvTransaction, Read, scan};
use crate::transaction::Failure;
use crate::{
    Catalog, CatalogError, Channel, ChannelCloser, ChannelIdentity, Epoch, Fence, NodeId, Offset, Owner, Stream,
    StreamId, StreamIdentity, StreamState, TableId, TaskIndex, WriterId,
};

/// A channel is granted once.
const EPOCH: Epoch = Epoch(1);
/// Where its rows begin.
const START: Offset = Offset(0);

impl Catalog {
    /// Opens the channel of that identity into a table, and grants it to its process.
    ///
    /// `NotFound` if the table is gone. Unknown outcome: run again; the identity finds what was opened.
    pub(crate) async fn open_channel_settled(
        &self,
        table: TableId,
        identity: &ChannelIdentity,
    ) -> Result<Channel, CatalogError> {
        let stream = self
            .settled("opening an insert channel", |transaction| {
                async move {
                    let key = keys::channel::ser_key(table, identity);
                    if let Some(found) = keys::get(transaction, &key, keys::channel::deser_value).await? {
                        return Ok(found.stream);
                    }
                    // Conflicts with DROP TABLE, which would not find the channel.
                    ddl::table::require(transaction, table).await?;
                    let stream = StreamId(next_id(transaction, Counter::Stream).await?);
                    let record = ChannelRecord { stream, node: identity.node.clone() };
                    transaction.set(&key, &keys::channel::ser_value(&record));
                    self.write_channel(transaction, stream, table, identity);
                    Ok(stream)
                }
                .boxed()
            })
            .await?;
        Ok(Channel { stream, epoch: EPOCH, next: START, identity: identity.clone() })
    }

    fn write_channel(
        &self,
        transaction: &mut dyn KvTransaction,
        id: StreamId,
        table: TableId,
        identity: &ChannelIdentity,
    ) {
        let identity_of = StreamIdentity::Channel(identity.clone());
        let stream = Stream { id, identity: identity_of, table, start: START, state: StreamState::Open };
        transaction.set(&keys::stream::ser_key(id), &keys::stream::ser_value(&stream));
        let checkpoint = CheckpointRecord { next: START, table };
        transaction.set(&keys::checkpoint::ser_key(id), &keys::checkpoint::ser_value(&checkpoint));
        let owner = Owner {
            epoch: EPOCH,
            node: identity.node.clone(),
            address: String::new(),
            task: TaskIndex(0),
            pipeline_fence: Fence(0),
        };
        let granted = LogRecord::Grant { stream: id, owner: owner.clone() };
        let opened = [LogRecord::StreamOpened(stream), granted].map(|record| keys::log::ser_value(&record));
        self.append_to_log(transaction, table, &opened);
        // A grant is never repeated, so nobody has to know it again by a nonce.
        let record = OwnerRecord { owner, previous: None, committed: START, nonce: Nonce(0) };
        transaction.set_versionstamped_value(&keys::owner::ser_key(id), keys::owner::ser_value(self.era(), 1, &record));
    }

    /// Closes a channel: nothing will ever be committed to it any more. One that is closed, or gone with its table, is success.
    ///
    /// Unknown outcome: run again; what is closed stays closed.
    pub(crate) async fn close_channel_settled(
        &self,
        table: TableId,
        identity: &ChannelIdentity,
        closer: ChannelCloser,
    ) -> Result<(), CatalogError> {
        self.settled("closing an insert channel", |transaction| {
            async move {
                let key = keys::channel::ser_key(table, identity);
                let Some(ChannelRecord { stream, .. }) =
                    keys::get(transaction, &key, keys::channel::deser_value).await?
                else {
                    return Ok(());
                };
                let owner = keys::owner::ser_key(stream);
                let is_open = transaction.get(&owner, Read::Serializable).await?.is_some();
                if is_open {
                    // Without an owner no epoch is the newest, and every commit is fenced (I2).
                    if !planted::is("closed-channel-keeps-its-owner") {
                        transaction.clear(&owner);
                    }
                    let closed = LogRecord::StreamsClosed(vec![stream]);
                    self.append_to_log(transaction, table, &[keys::log::ser_value(&closed)]);
                }
                if closer == ChannelCloser::Itself {
                    transaction.clear(&key);
                    forget(transaction, stream);
                }
                Ok(())
            }
            .boxed()
        })
        .await
    }

    /// The channels of a server that are open, of all of its processes but `process`: those have died.
    pub async fn channels_of_dead(
        &self,
        node: &NodeId,
        process: u64,
    ) -> Result<Vec<(TableId, ChannelIdentity)>, CatalogError> {
        self.once("listing insert channels", |transaction| {
            async move {
                let mut dead = Vec::new();
                for (key, value) in scan(transaction, keys::channel::all(), Read::Snapshot).await? {
                    let record = keys::channel::deser_value(&key, &value)?;
                    let (table, of, number) = keys::channel::deser_key(&key)?;
                    let owner = keys::owner::ser_key(record.stream);
                    if record.node == *node && of != process && transaction.get(&owner, Read::Snapshot).await?.is_some()
                    {
                        dead.push((table, ChannelIdentity { node: record.node, process: of, number }));
                    }
                }
                Ok(dead)
            }
            .boxed()
        })
        .await
    }
}

/// Removes all that is kept of a table's channels outside of its log.
pub(crate) async fn erase_all_of(transaction: &mut dyn KvTransaction, table: TableId) -> Result<(), Failure> {
    let channels = keys::channel::of_table(table);
    for (key, value) in scan(transaction, channels.clone(), Read::Serializable).await? {
        forget(transaction, keys::channel::deser_value(&key, &value)?.stream);
    }
    transaction.clear_range(channels);
    Ok(())
}

fn forget(transaction: &mut dyn KvTransaction, stream: StreamId) {
    let writer = WriterId::Channel(stream);
    for key in [
        keys::stream::ser_key(stream),
        keys::checkpoint::ser_key(stream),
        keys::owner::ser_key(stream),
        keys::token::ser_key(writer),
    ] {
        transaction.clear(&key);
    }
    transaction.clear_range(keys::void::of_writer(writer));
}
