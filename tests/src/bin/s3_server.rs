//! `s3-server`: the S3 of the tests by hand, for end-to-end tests and people. Its faults are scripted only in the process.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::Parser;
use vfs::SystemClock;
use vfs::s3_server::{ACCESS_KEY_ID, S3Server, SECRET_ACCESS_KEY};

/// Serves a directory as an S3 on 127.0.0.1, until Ctrl-C. Nothing is synced, and everybody knows its key: for tests alone.
#[derive(Debug, Parser)]
#[command(name = "s3-server")]
struct Cli {
    /// Where objects lie: each folder is a bucket.
    directory: PathBuf,
    /// The port; 0 is any that is free.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// A bucket that is made if it is not there.
    #[arg(long, default_value = "millrace")]
    bucket: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Cli { directory, port, bucket } = Cli::parse();
    let server = S3Server::start(&directory, port, Arc::new(SystemClock::new()))
        .await
        .with_context(|| format!("cannot serve {} at port {port}", directory.display()))?;
    server.make_bucket(&bucket).with_context(|| format!("cannot make the bucket {bucket}"))?;
    println!("export AWS_ACCESS_KEY_ID={ACCESS_KEY_ID} AWS_SECRET_ACCESS_KEY={SECRET_ACCESS_KEY}");
    println!("{}", server.url(&bucket));
    tokio::signal::ctrl_c().await.context("cannot wait for Ctrl-C")
}
