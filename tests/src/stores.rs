//! Stores outside of a server's data directory: the shared Postgres of this run, and an S3 of the test's own.

use std::io;
use std::path::Path;
use std::sync::Arc;

use vfs::SystemClock;
use vfs::s3_server::{ACCESS_KEY_ID, S3Server, SECRET_ACCESS_KEY};

use crate::{ServerOptions, require};

const BUCKET: &str = "bucket";

/// The address of a catalog of the test's own in the Postgres of this run; says so by name where there is none.
///
/// # Panics
/// If MILLRACE_TEST_REQUIRE names postgres and there is none.
pub fn catalog_in_postgres() -> Option<String> {
    let hint = "skipped: no PostgreSQL (set MILLRACE_TEST_POSTGRES or run tests/components/postgres.sh)";
    let url = require("postgres", "MILLRACE_TEST_POSTGRES", hint)?;
    Some(format!("{url}?schema=test_{}_{:08x}", std::process::id(), rand::random::<u32>()))
}

/// An S3 with a bucket, in a folder of `directory`; port 0 means any.
///
/// # Errors
/// If the port is taken.
pub async fn s3(directory: &Path, port: u16) -> io::Result<S3Server> {
    let server = S3Server::start(directory.join("s3"), port, Arc::new(SystemClock::new())).await?;
    server.make_bucket(BUCKET)?;
    Ok(server)
}

/// The same server, with its parts in `s3`.
#[must_use]
pub fn on_s3(options: ServerOptions, s3: &S3Server) -> ServerOptions {
    options
        .with("object_store.url", &s3.url(&format!("{BUCKET}/millrace")))
        .with("object_store.access_key_id", ACCESS_KEY_ID)
        .with("object_store.secret_access_key", SECRET_ACCESS_KEY)
}
