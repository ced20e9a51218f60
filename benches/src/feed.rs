//! This side of the producing process: starts it, tells it what was seen, hears what it sent.

use std::collections::BTreeMap;
use std::process::Stdio;

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::watch;

use crate::workload::Workload;

/// What was sent and acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    /// How many records.
    pub(crate) records: u64,
    /// Bytes of their payloads.
    pub(crate) bytes: u64,
}

/// The producing process.
pub(crate) struct Feed {
    /// Where its topic is.
    pub(crate) bootstrap: String,
    /// Its topic.
    pub(crate) topic: String,
    child: Child,
    orders: ChildStdin,
    sent: watch::Receiver<Option<Sent>>,
    told: BTreeMap<i32, u64>,
}

impl Feed {
    /// Starts it, and waits until its records are made.
    pub(crate) async fn start(workload: &Workload, rate: Option<u64>) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("produce").args(workload.to_args()).args(rate.map(|rate| format!("--rate={rate}")));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().context("cannot start the producing process")?;
        let orders = child.stdin.take().context("it has a standard input")?;
        let mut lines = BufReader::new(child.stdout.take().context("it has a standard output")?).lines();
        let (bootstrap, topic) = ready(&mut lines).await?;
        let (sender, sent) = watch::channel(None);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some(all) = parse_sent(&line) {
                    sender.send_replace(Some(all));
                }
            }
        });
        Ok(Self { bootstrap, topic, child, orders, sent, told: BTreeMap::new() })
    }

    /// Lets it begin.
    pub(crate) async fn go(&mut self) -> anyhow::Result<()> {
        self.tell("go\n").await
    }

    /// Tells it which offsets were seen, where that is news.
    pub(crate) async fn seen(&mut self, ends: &BTreeMap<i32, u64>) -> anyhow::Result<()> {
        let mut news = String::new();
        for (partition, end) in ends {
            if self.told.insert(*partition, *end) != Some(*end) {
                news.push_str(&format!("seen {partition} {end}\n"));
            }
        }
        if news.is_empty() { Ok(()) } else { self.tell(&news).await }
    }

    async fn tell(&mut self, words: &str) -> anyhow::Result<()> {
        self.orders.write_all(words.as_bytes()).await.context("the producing process has ended")
    }

    /// What was sent, once all was.
    pub(crate) fn sent(&self) -> Option<Sent> {
        *self.sent.borrow()
    }

    /// Waits until all is sent.
    pub(crate) async fn all_sent(&mut self) -> anyhow::Result<Sent> {
        let sent = self.sent.wait_for(Option::is_some).await.context("the producing process ended early")?;
        Ok(sent.expect("waited for"))
    }

    /// Fails if it has ended before all was sent.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            Some(status) if self.sent().is_none() => bail!("the producing process ended early: {status}"),
            _ => Ok(()),
        }
    }

    /// Ends it, and removes its topic.
    pub(crate) async fn end(mut self) -> anyhow::Result<()> {
        drop(self.orders);
        let status = self.child.wait().await?;
        if status.success() { Ok(()) } else { bail!("the producing process ended with {status}") }
    }
}

async fn ready(lines: &mut Lines<BufReader<ChildStdout>>) -> anyhow::Result<(String, String)> {
    let line = lines.next_line().await?.context("the producing process ended before it was ready")?;
    match line.split_whitespace().collect::<Vec<_>>().as_slice() {
        ["ready", bootstrap, topic] => Ok(((*bootstrap).to_owned(), (*topic).to_owned())),
        _ => bail!("the producing process said {line:?}"),
    }
}

fn parse_sent(line: &str) -> Option<Sent> {
    match line.split_whitespace().collect::<Vec<_>>().as_slice() {
        ["done", records, bytes] => Some(Sent { records: records.parse().ok()?, bytes: bytes.parse().ok()? }),
        _ => None,
    }
}
