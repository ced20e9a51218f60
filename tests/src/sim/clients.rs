//! Clients that insert, and now and then TRUNCATE: what they ask of which server, and what they were told. A client with a label asks
//! again until it is told that its rows are there; one without never does. Knows nothing of what became of the rows.

use std::time::Duration;

use catalog::Version;

use super::draw::Draw;
use super::server::{Asked, End, Request, Wanted};
use super::stage::Stage;

/// Ids of inserted rows begin here: no produced record has one of them.
const FIRST_ID: i64 = 1 << 40;
/// Ids of one statement.
const IDS: i64 = 1 << 12;
/// Of a thousand INSERTs, how many have a label.
const LABELLED: u32 = 600;

/// The statement that a row is of, and which of its rows it is; `None` of one that was not inserted.
pub fn statement_of(id: i64) -> Option<(u64, i64)> {
    (id >= FIRST_ID).then(|| (((id - FIRST_ID) / IDS) as u64, (id - FIRST_ID) % IDS))
}

/// One attempt.
#[derive(Clone, Debug)]
pub struct Attempt {
    server: usize,
    life: u64,
    /// So long its client waits for the answer.
    until: Duration,
    /// What it was told, if it was: an answer that comes when nobody waits any more counts too.
    pub end: Option<End>,
}

impl Attempt {
    /// Whether it may have happened, or may yet.
    pub fn is_open(&self) -> bool {
        matches!(self.end, None | Some(End::Unknown(_)))
    }
}

/// An INSERT.
#[derive(Clone, Debug)]
pub struct Statement {
    /// Its label.
    pub label: Option<String>,
    /// How many rows.
    pub rows: i64,
    pieces: usize,
    /// Each time that it was sent.
    pub attempts: Vec<Attempt>,
    /// It is not sent again before.
    not_before: Duration,
}

impl Statement {
    /// Whether its rows may become visible: an attempt has no known end.
    pub fn may_happen(&self) -> bool {
        self.attempts.iter().any(Attempt::is_open)
    }

    /// What it was answered, the first time that it was OK.
    pub fn done(&self) -> Option<&End> {
        self.attempts.iter().filter_map(|attempt| attempt.end.as_ref()).find(|end| matches!(end, End::Done(_)))
    }

    fn waits(&self, now: Duration) -> bool {
        self.attempts.iter().any(|attempt| attempt.end.is_none() && attempt.until > now)
    }
}

/// A TRUNCATE.
#[derive(Clone, Debug)]
pub struct Truncate {
    /// The newest version when it was sent.
    pub asked: Version,
    attempt: Attempt,
}

impl Truncate {
    /// Whether it was answered OK.
    pub fn is_done(&self) -> bool {
        matches!(self.attempt.end, Some(End::Done(_)))
    }
}

/// All that clients have asked.
#[derive(Debug)]
pub struct Clients {
    draw: Draw,
    /// Their INSERTs, by number.
    pub statements: Vec<Statement>,
    /// Their TRUNCATEs.
    pub truncates: Vec<Truncate>,
    /// INSERTs that are not over.
    unsettled: Vec<u64>,
    /// The faults are over: nobody goes away any more, and labels are asked for until they are told.
    pub ending: bool,
}

impl Clients {
    /// Clients that have asked nothing yet.
    pub fn new(draw: Draw) -> Self {
        Self { draw, statements: Vec::new(), truncates: Vec::new(), unsettled: Vec::new(), ending: false }
    }

    /// Some of them insert, at one time; what is sent, for the log.
    pub fn insert(&mut self, stage: &Stage) -> Vec<String> {
        let count = self.draw.one_of(&[1, 1, 1, 2, 4]);
        (0..count).filter_map(|_| self.insert_one(stage)).collect()
    }

    fn insert_one(&mut self, stage: &Stage) -> Option<String> {
        let number = self.statements.len() as u64;
        let label = self.draw.happens(LABELLED).then(|| format!("label {number}"));
        let is_empty = label.is_some() && self.draw.happens(30);
        let rows = if is_empty { 0 } else { self.draw.one_of(&[1, 1, 2, 3, 7, 40]) };
        let pieces = self.draw.one_of(&[1, 1, 2, 4]);
        self.statements.push(Statement { label, rows, pieces, attempts: Vec::new(), not_before: Duration::ZERO });
        self.unsettled.push(number);
        let (server, is_doubled) = (self.draw.index(stage.managers.len()), self.draw.happens(80));
        let sent = self.send(stage, number, server);
        if is_doubled && self.statements[number as usize].label.is_some() {
            // It is sent twice at once, wherever the second goes.
            self.send(stage, number, self.draw.index(stage.managers.len()));
        }
        sent
    }

    /// Sends it; nothing where nobody listens.
    fn send(&mut self, stage: &Stage, number: u64, server: usize) -> Option<String> {
        let statement = &mut self.statements[number as usize];
        let (patience, leaves) = (self.draw.millis(200, 4_000), self.draw.happens(100));
        let leaves = (leaves && !self.ending).then(|| self.draw.millis(0, 400));
        statement.not_before = stage.now + patience;
        let first = FIRST_ID + number as i64 * IDS;
        let what = Wanted::Insert {
            label: statement.label.clone(),
            ids: (first..first + statement.rows).collect(),
            pieces: statement.pieces,
        };
        let attempt = statement.attempts.len();
        let of = Asked::Insert(number, attempt);
        if stage.requests[server].try_send(Request { of, what, leaves }).is_err() {
            return None;
        }
        let life = stage.managers[server].lives();
        let patience = if self.ending { Duration::MAX } else { stage.now + patience };
        statement.attempts.push(Attempt { server, life, until: patience, end: None });
        let label = statement.label.as_deref().unwrap_or("no label");
        Some(format!("INSERT {number} of {} rows with {label} to {}", statement.rows, stage.managers[server].name()))
    }

    /// One of them empties the table, of which `asked` is the newest version; most ask who leads the pipeline, as nobody else can hold
    /// it.
    pub fn truncate(&mut self, stage: &Stage, asked: Version, leader: Option<usize>) -> Option<String> {
        let drawn = self.draw.index(stage.managers.len());
        let server = leader.filter(|_| self.draw.happens(850)).unwrap_or(drawn);
        let leaves = self.draw.millis(500, 6_000);
        let request =
            Request { of: Asked::Truncate(self.truncates.len()), what: Wanted::Truncate, leaves: Some(leaves) };
        stage.requests[server].try_send(request).ok()?;
        let life = stage.managers[server].lives();
        self.truncates.push(Truncate { asked, attempt: Attempt { server, life, until: Duration::MAX, end: None } });
        Some(format!("TRUNCATE {} to {}", self.truncates.len() - 1, stage.managers[server].name()))
    }

    /// Takes an answer.
    pub fn told(&mut self, of: Asked, end: End) {
        match of {
            Asked::Insert(number, attempt) => self.statements[number as usize].attempts[attempt].end = Some(end),
            Asked::Truncate(number) => self.truncates[number].attempt.end = Some(end),
        }
    }

    /// Notices connections that are lost, and sends again what has a label and was not told; what is sent, for the log.
    pub fn look(&mut self, stage: &Stage) -> Vec<String> {
        let is_lost = |attempt: &Attempt| {
            let process = &stage.managers[attempt.server];
            attempt.end.is_none() && (!process.is_alive() || process.lives() != attempt.life)
        };
        let lost = || Some(End::Unknown("the server died".to_owned()));
        for truncate in self.truncates.iter_mut().filter(|truncate| is_lost(&truncate.attempt)) {
            truncate.attempt.end = lost();
        }
        let mut sent = Vec::new();
        for number in std::mem::take(&mut self.unsettled) {
            let statement = &mut self.statements[number as usize];
            statement.attempts.iter_mut().filter(|attempt| is_lost(attempt)).for_each(|it| it.end = lost());
            let is_over = match (&statement.label, statement.done()) {
                (Some(_), done) => done.is_some(),
                (None, _) => statement.attempts.iter().all(|attempt| attempt.end.is_some()),
            };
            if is_over && !statement.waits(stage.now) {
                continue;
            }
            self.unsettled.push(number);
            let is_again = statement.label.is_some()
                && !is_over
                && !statement.waits(stage.now)
                && (self.ending || statement.not_before <= stage.now);
            if is_again {
                let server = self.draw.index(stage.managers.len());
                sent.extend(self.send(stage, number, server));
            }
        }
        sent
    }

    /// What has no end yet, in a sentence; nothing if all has.
    pub fn waits(&self) -> Option<String> {
        let number = self.unsettled.first()?;
        Some(format!("INSERT {number} has no end: {:?}", self.statements[*number as usize]))
    }
}
