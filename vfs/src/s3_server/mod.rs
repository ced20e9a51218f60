//! An S3 for tests: one process, one directory, signatures checked, and faults as they are scripted. For nothing else: what it says
//! to have stored is not synced, and it reads each request whole.
//!
//! The protocol and the files are those of the crates `s3s` and `s3s-fs`. What these lack of S3 stands in front of them:
//!
//! - one lock per key: without it, of many that create one name at once, most succeed;
//! - buckets that were not made do not exist, an upload that has ended is `NoSuchUpload`, and a get has its `If-Match`;
//! - faults ([`S3Fault`]), each for the next request of its kind.
//!
//! Two keys of which one is a folder of the other (`a` and `a/b`) do not go together here.

mod faults;
mod locks;
mod service;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

pub use faults::{S3Fault, S3Op};

use self::service::Front;
use crate::{Clock, ObjectStoreCredentials};

/// The one key that the server knows.
pub const ACCESS_KEY_ID: &str = "millrace-tests";
/// The other half of it, a secret to nobody.
pub const SECRET_ACCESS_KEY: &str = "only-for-tests-of-millrace";
/// Where it says to be.
pub const REGION: &str = "us-east-1";

/// A running server; it ends with every connection when this is dropped, and before the return of [`S3Server::stop`].
#[derive(Debug)]
pub struct S3Server {
    address: SocketAddr,
    directory: PathBuf,
    front: Arc<Front>,
    /// Holds the connections, and ends them with itself.
    accepting: JoinSet<()>,
}

impl S3Server {
    /// Serves what is in `directory`, which is made if it is missing, at `port` of 127.0.0.1; 0 means any that is free. Buckets are its
    /// folders.
    ///
    /// # Errors
    /// If the directory cannot be used, or the port is taken.
    pub async fn start(directory: impl Into<PathBuf>, port: u16, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let directory = directory.into();
        std::fs::create_dir_all(&directory)?;
        let front = Arc::new(Front::open(&directory, clock)?);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, Arc::clone(&front)));
        Ok(Self { address, directory, front, accepting })
    }

    /// Ends it, as a crash would; its port is free then, and its directory as the last answered request left it.
    pub async fn stop(mut self) {
        self.accepting.shutdown().await;
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Makes a bucket, if it is not there.
    ///
    /// # Errors
    /// If its folder cannot be made.
    pub fn make_bucket(&self, name: &str) -> io::Result<()> {
        std::fs::create_dir_all(self.directory.join(name))
    }

    /// `http://127.0.0.1:port`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address of a place in this store: `bucket`, or `bucket/prefix`.
    pub fn url(&self, place: &str) -> String {
        format!("s3://{place}?endpoint={}&region={REGION}&allow_http=true", self.endpoint())
    }

    /// The directory that is served.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Adds faults for the next requests of `op`, one each.
    pub fn script(&self, op: S3Op, faults: impl IntoIterator<Item = S3Fault>) {
        self.front.script.add(op, faults);
    }

    /// How many requests of `op` there were.
    pub fn requests(&self, op: S3Op) -> u64 {
        self.front.script.requests(op)
    }
}

/// What the server lets in.
pub fn credentials() -> ObjectStoreCredentials {
    ObjectStoreCredentials {
        access_key_id: Some(ACCESS_KEY_ID.to_owned()),
        secret_access_key: Some(SECRET_ACCESS_KEY.to_owned()),
        session_token: None,
    }
}

async fn accept(listener: TcpListener, front: Arc<Front>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let (stream, _) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                // Out of file descriptors, as a rule: others must end first.
                front.pause().await;
                continue;
            }
        };
        // What is small is sent at once.
        let _ = stream.set_nodelay(true);
        let front = Arc::clone(&front);
        connections.spawn(async move {
            let service = service_fn(move |request| {
                let front = Arc::clone(&front);
                async move { front.answer(request).await }
            });
            if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await {
                tracing::debug!(%error, "a connection ended");
            }
        });
    }
}
