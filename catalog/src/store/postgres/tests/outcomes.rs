//! Connections that are lost at any moment of a commit: what was answered is so, what is unknown is there whole or not at all.

use std::sync::atomic::AtomicBool;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

/// Ends the sessions that were opened for `purpose`; how many.
async fn end_sessions(admin: &Session, address: &PostgresAddress, purpose: Purpose) -> u64 {
    let (purpose, schema) = (purpose.name(), &address.schema);
    let end = "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name =";
    number(admin, &format!("{end} 'millrace {purpose} {schema}'")).await
}

/// What became of the commits of one writer, each of which writes a key of its own, appends to a log and counts.
#[derive(Debug, Default)]
struct Outcomes {
    done: Vec<(u64, Stamp)>,
    not_done: Vec<u64>,
    unknown: Vec<u64>,
}

async fn count(store: &dyn KvStore, number: u64) -> Result<Stamp, StoreError> {
    let mut writer = store.begin().await?;
    // Read, so that it also conflicts: what is counted twice or lost would show.
    let before = writer.get(b"count", Read::Serializable).await?;
    let before = before.map_or(0, |count| u64::from_le_bytes(count.as_ref().try_into().unwrap()));
    writer.set(b"count", &(before + 1).to_le_bytes());
    writer.set(&[b"own/", number.to_be_bytes().as_slice()].concat(), b"");
    writer.set_versionstamped_key(b"log/", b"", &number.to_be_bytes());
    writer.commit().await
}

impl Outcomes {
    fn note(&mut self, number: u64, outcome: Result<Stamp, StoreError>) {
        match outcome {
            Ok(stamp) => self.done.push((number, stamp)),
            Err(error) if error.is_maybe_committed() => self.unknown.push(number),
            Err(error) => {
                assert!(error.is_retryable(), "it did not happen, and can be tried again: {error}");
                self.not_done.push(number);
            }
        }
    }

    /// Compares with what is there; how many of the unknown had landed.
    async fn check(&self, store: &dyn KvStore) -> usize {
        let mut reader = store.begin().await.unwrap();
        let log = scan(reader.as_mut(), KeyRange::prefix(b"log/"), Read::Snapshot).await.unwrap();
        let own = scan(reader.as_mut(), KeyRange::prefix(b"own/"), Read::Snapshot).await.unwrap();
        let counted = reader.get(b"count", Read::Snapshot).await.unwrap();
        let counted = counted.map_or(0, |count| u64::from_le_bytes(count.as_ref().try_into().unwrap()));
        assert_eq!((counted, own.len()), (log.len() as u64, log.len()), "half a commit, or one twice");
        let number = |value: &Bytes| u64::from_be_bytes(value.as_ref().try_into().unwrap());
        for (done, stamp) in &self.done {
            let key = [b"log/", stamp.as_ref()].concat();
            assert!(log.iter().any(|(at, value)| *at == key && number(value) == *done), "an answered commit is lost");
        }
        assert!(!log.iter().any(|(_, value)| self.not_done.contains(&number(value))), "what did not happen is there");
        log.iter().filter(|(_, value)| self.unknown.contains(&number(value))).count()
    }
}

async fn commits_there(admin: &Session) -> u64 {
    schema::version(admin).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_ended_at_any_moment_lose_nothing_and_double_nothing() {
    const ROUNDS: usize = 30;
    let Some(schemas) = Schemas::new() else { return };
    let address = schemas.address();
    let stores = [open(&address).await, open(&address).await];
    let (next, over) = (AtomicUsize::default(), AtomicBool::new(false));
    let writer = async |store: &PostgresStore| {
        let mut outcomes = Outcomes::default();
        while !over.load(Relaxed) {
            let number = next.fetch_add(1, Relaxed) as u64;
            outcomes.note(number, count(store, number).await);
        }
        outcomes
    };
    let killer = async {
        let admin = admin(&address).await;
        let mut ended = 0;
        for round in 0..ROUNDS {
            // Each kind of session in turn; those for commits more often.
            let purpose = [Purpose::Commit, Purpose::Read, Purpose::Commit, Purpose::Watch][round % 4];
            ended += end_sessions(&admin, &address, purpose).await;
            let before = commits_there(&admin).await;
            while commits_there(&admin).await <= before {
                tokio::task::yield_now().await;
            }
        }
        assert!(ended as usize >= ROUNDS / 2, "only {ended} sessions were there to be ended");
        over.store(true, Relaxed);
    };
    let writers = join_all(stores.iter().cycle().take(6).map(writer));
    let (outcomes, ()) = futures::join!(writers, killer);
    for outcomes in &outcomes {
        outcomes.check(&stores[0]).await;
    }
    assert!(outcomes.iter().any(|outcomes| !outcomes.done.is_empty()));
    // A watch that was made before all of that still wakes.
    let watching = stores[1].watch(b"own").await.unwrap();
    put(&stores[0], b"own", b"").await.unwrap();
    watching.await;
    drop(stores);
    schemas.drop_all().await;
}

/// Stands between a store and the server, and cuts a connection that commits at a chosen request.
#[derive(Debug, Default)]
struct Cut {
    /// After so many requests on connections that commit; 0: never.
    after: AtomicUsize,
    /// Whether the last of them still reaches the server.
    forwards: AtomicBool,
    /// Whether that was the COMMIT.
    was_commit: AtomicBool,
}

impl Cut {
    async fn between(self: Arc<Self>, listener: TcpListener, server: (String, u16)) {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            tokio::spawn(Arc::clone(&self).relay(client, server.clone()));
        }
    }

    async fn relay(self: Arc<Self>, client: TcpStream, server: (String, u16)) {
        let server = TcpStream::connect(server).await.unwrap();
        for side in [&client, &server] {
            side.set_nodelay(true).unwrap();
        }
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let back = tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
        // It ends where a side does, or at the cut. Both connections go with it, unflushed answers included.
        let _ended = self.forward(&mut from_client, &mut to_server).await;
        back.abort();
    }

    async fn forward(
        &self,
        client: &mut tokio::net::tcp::OwnedReadHalf,
        server: &mut tokio::net::tcp::OwnedWriteHalf,
    ) -> std::io::Result<()> {
        let hello = message(client, None).await?;
        server.write_all(&hello).await?;
        let commits = hello.windows(15).any(|name| name == b"millrace commit");
        loop {
            let kind = client.read_u8().await?;
            let message = message(client, Some(kind)).await?;
            // A query is one request, as is all that is before a sync.
            let is_request = commits && matches!(kind, b'Q' | b'S');
            let is_cut = is_request && self.after.try_update(Relaxed, Relaxed, |left| left.checked_sub(1)) == Ok(1);
            if is_cut {
                self.was_commit.store(kind == b'Q' && message.windows(7).any(|word| word == b"COMMIT;"), Relaxed);
            }
            if !is_cut || self.forwards.load(Relaxed) {
                server.write_all(&message).await?;
            }
            if is_cut {
                return Ok(());
            }
        }
    }
}

/// One message: its kind, where it has one, its length, its body.
async fn message(from: &mut tokio::net::tcp::OwnedReadHalf, kind: Option<u8>) -> std::io::Result<Vec<u8>> {
    let length = from.read_u32().await?;
    let mut message: Vec<u8> = kind.into_iter().chain(length.to_be_bytes()).collect();
    let start = message.len();
    message.resize(start + usize::try_from(length).unwrap() - 4, 0);
    from.read_exact(&mut message[start..]).await?;
    Ok(message)
}

/// The connection is cut at each request of a commit, before the server has it and after. At the COMMIT the outcome is unknown;
/// at all others it is known, and what is said is so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_cut_at_a_commit_leaves_it_unknown_and_at_any_other_request_not() {
    /// More than a session's setting up and a commit have together.
    const REQUESTS: usize = 40;
    let Some(schemas) = Schemas::new() else { return };
    let direct = schemas.address();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut address = direct.clone();
    let server = (std::mem::replace(&mut address.host, "127.0.0.1".into()), direct.port);
    address.port = listener.local_addr().unwrap().port();
    let cut = Arc::new(Cut::default());
    let relay = tokio::spawn(Arc::clone(&cut).between(listener, server));
    let (through, beside) = (open(&address).await, open(&direct).await);
    let look = admin(&direct).await;
    let mut outcomes = Outcomes::default();
    let mut number = 0;
    for forwards in [false, true] {
        let (mut at_commit, mut at_others) = (0, 0);
        for after in 1..=REQUESTS {
            cut.forwards.store(forwards, Relaxed);
            cut.was_commit.store(false, Relaxed);
            // From the first request of a new session on.
            end_sessions(&look, &direct, Purpose::Commit).await;
            cut.after.store(after, Relaxed);
            while cut.after.load(Relaxed) > 0 {
                number += 1;
                let outcome = count(&through, number).await;
                let is_cut_here = cut.after.load(Relaxed) == 0;
                let at_the_commit = is_cut_here && cut.was_commit.load(Relaxed);
                let is_unknown = outcome.as_ref().is_err_and(StoreError::is_maybe_committed);
                assert_eq!(is_unknown, at_the_commit, "request {after}, forwarded {forwards}: {outcome:?}");
                at_commit += usize::from(at_the_commit);
                at_others += usize::from(is_cut_here && outcome.is_err() && !at_the_commit);
                outcomes.note(number, outcome);
            }
            // Others go on, and so does the store itself; once they have, the server has done with the connection that was lost.
            put(&beside, b"beside", &[0]).await.unwrap();
            number += 1;
            let own = count(&through, number).await.unwrap();
            outcomes.done.push((number, own));
        }
        assert!(at_commit > 0 && at_others > 4, "cut {at_commit} times at the COMMIT, {at_others} times elsewhere");
        let landed = outcomes.check(&beside).await;
        let expected = if forwards { at_commit } else { 0 };
        assert_eq!(landed, expected, "a COMMIT that the server has is done, and one that it has not is not");
    }
    relay.abort();
    drop((through, beside));
    schemas.drop_all().await;
}
