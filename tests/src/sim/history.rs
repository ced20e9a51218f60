//! One history: operations and faults on a stage, the checkers behind them, and at the end the quiet in which lag must go to zero.
//! Everything in it follows from its seed.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use catalog::store::FaultOdds;
use catalog::{CatalogError, CatalogService, TableSnapshot, Version};
use object_store::ObjectStore;
use warehouse::read::session::Freshness;

use super::chains::Chain;
use super::check::{
    Bounds, Commits, Emptied, Inserts, Leases, Queries, Truth, Versions, Violation, Workers, check_end, lag,
};
use super::clients::Clients;
use super::draw::Draw;
use super::faults::{Fault, Kind};
use super::log::EventLog;
use super::objects::ObjectWeather;
use super::operations::Operation;
use super::operator::Statement;
use super::options::{Chains, Options};
use super::panics;
use super::parts::Unread;
use super::plan::Plan;
use super::query::{Answer, Order};
use super::rows::Rows;
use super::stage::Stage;

/// How long lag may take to return to zero when all faults are over: longer than every wait of the product that is its own.
const DRAIN: Duration = Duration::from_secs(90);
/// In how many histories of a thousand the pipeline is changed by statements, and how many of a thousand operations then do so too.
const CHANGED: u32 = 350;
const CHANGES: u32 = 9;
/// In how many histories of a thousand clients insert, and how many of a thousand operations then do so, and empty the table.
const INSERTING: u32 = 350;
const INSERTS: u32 = 120;
const TRUNCATES: u32 = 7;
/// How many sources may take their time to be opened.
const OPENS: usize = 48;
/// In how many histories of a thousand the faults are a chain.
const CHAINED: u32 = 400;
/// Commits that are looked at in the end.
const COMMITS_MAX: usize = 100_000;

/// How a history ended.
#[derive(Debug)]
pub struct Outcome {
    /// Its seed.
    pub seed: u64,
    /// What did not hold.
    pub violation: Option<Violation>,
    /// Its events.
    pub log: EventLog,
    /// How long it took in its own time.
    pub lasted: Duration,
}

/// Runs the history of a seed.
pub fn run(seed: u64, options: &Options) -> Outcome {
    let mut history = History::new(seed, options);
    let violation = history.play().err();
    if let Some(violation) = &violation {
        history.note("!", format_args!("{violation}"));
    }
    Outcome { seed, violation, lasted: history.stage.now, log: history.log }
}

struct History {
    stage: Stage,
    log: EventLog,
    commits: Commits,
    clients: Clients,
    inserts: Inserts,
    versions: Versions,
    queries: Queries,
    leases: Leases,
    workers: Workers,
    /// By worker and life.
    bounds: BTreeMap<(String, u64), Bounds>,
    /// Whether a worker may lose its log.
    disks_failed: bool,
    /// Draws operations and faults.
    draw: Draw,
    /// Draws statements that change the pipeline, in histories that have some.
    statements: Option<Draw>,
    /// How many were given.
    stated: u8,
    /// Whether one was given that lets offsets be passed over, or read twice.
    has_sought: bool,
    /// Draws INSERTs and TRUNCATEs, in histories that have some.
    inserting: Option<Draw>,
    /// Draws how time passes.
    pace: Draw,
    faults: VecDeque<Fault>,
    /// Faults that last, by their end.
    lasting: Vec<(Duration, Kind)>,
    rounds: u64,
}

impl History {
    fn new(seed: u64, options: &Options) -> Self {
        panics::forget();
        let plan = Plan::draw(&Draw::new(seed, "plan"), options.operations, options.workers);
        let inserting = Some(Draw::new(seed, "inserts"))
            .filter(|draw| options.inserts && options.chain != Chains::None && draw.happens(INSERTING));
        let plan = match &inserting {
            Some(draw) => plan.with_inserts(draw),
            None => plan,
        };
        let length = plan.duration;
        let stage = Stage::new(seed, plan, options.planted);
        if options.chain != Chains::None {
            let draw = Draw::new(seed, "opens");
            let delay = |_| if draw.happens(250) { draw.millis(0, 150) } else { Duration::ZERO };
            stage.script.broker().delay_opens((0..OPENS).map(delay));
        }
        let mut faults = Self::faults(seed, options, &stage, length);
        if let Some(draw) = &inserting {
            faults.extend(Fault::of_servers(draw, &options.classes, &stage, length));
            faults.sort_by_key(|fault| fault.at);
        }
        Self {
            disks_failed: faults.iter().any(|fault| fault.kind.fails_a_disk()),
            leases: Leases::default(),
            workers: Workers::default(),
            bounds: BTreeMap::new(),
            stage,
            log: EventLog::new(options.log),
            commits: Commits::default(),
            clients: Clients::new(Draw::new(seed, "clients")),
            inserts: Inserts::default(),
            versions: Versions::default(),
            queries: Queries::default(),
            draw: Draw::new(seed, "operations"),
            statements: Some(Draw::new(seed, "statements"))
                .filter(|draw| options.statements && options.chain != Chains::None && draw.happens(CHANGED)),
            stated: 0,
            has_sought: false,
            inserting,
            pace: Draw::new(seed, "pace"),
            faults: faults.into(),
            lasting: Vec::new(),
            rounds: 0,
        }
    }

    fn faults(seed: u64, options: &Options, stage: &Stage, length: Duration) -> Vec<Fault> {
        // Drawn apart, so that histories whose faults are no chain are what they would be if there were none.
        let draw = Draw::new(seed, "chains");
        let chain = match options.chain {
            Chains::None => None,
            Chains::Only(chain) => Some(chain),
            Chains::Some if options.faults < 3 || !draw.happens(CHAINED) => None,
            Chains::Some => Chain::draw(&draw, &options.classes, options.statements),
            Chains::Drawn(chain) => {
                let _drawn = (draw.happens(CHAINED), Chain::draw(&draw, &options.classes, options.statements));
                chain
            }
        };
        match chain {
            Some(chain) => chain.faults(&draw, stage, length),
            None => Fault::draw(&Draw::new(seed, "faults"), options.faults, &options.classes, stage, length),
        }
    }

    fn note(&mut self, who: &str, what: fmt::Arguments<'_>) {
        self.log.add(self.stage.now, who, what);
    }

    fn play(&mut self) -> Result<(), Violation> {
        let plan = self.stage.plan.clone();
        let described = format!("{plan:?}");
        self.note("sim", format_args!("{described}"));
        let length = plan.duration;
        let operations = (length.as_millis() / 40) as u32;
        let mut done = 0;
        while self.stage.now < length {
            let due = (operations as f64 * self.stage.now.as_secs_f64() / length.as_secs_f64()) as u32;
            while done < due.min(operations) {
                self.operate();
                done += 1;
            }
            self.begin_and_end_faults();
            self.round()?;
        }
        while done < operations {
            self.operate();
            done += 1;
        }
        self.heal();
        self.drain()?;
        self.look_once_more()
    }

    fn operate(&mut self) {
        if let Some(draw) = self.statements.clone().filter(|draw| draw.happens(CHANGES)) {
            let statement = Operation::draw_statement(&draw, &self.stage, self.stated);
            self.stated = self.stated.wrapping_add(1);
            self.note("op", format_args!("{statement}"));
            self.has_sought |= matches!(statement, Operation::State(Statement::Seek(_)));
            statement.run(&mut self.stage, &draw, 0);
        }
        self.insert();
        let operation = Operation::draw(&self.draw, &self.stage);
        self.note("op", format_args!("{operation}"));
        let asked = match operation {
            Operation::Query(..) => self.queries.ask(self.commits.committed()),
            _ => 0,
        };
        operation.run(&mut self.stage, &self.draw, asked);
    }

    fn insert(&mut self) {
        let Some(draw) = &self.inserting else { return };
        let mut sent = Vec::new();
        if draw.happens(INSERTS) {
            sent.extend(self.clients.insert(&self.stage));
        }
        if draw.happens(TRUNCATES) {
            let leader = self.stage.leader();
            sent.extend(self.clients.truncate(&self.stage, self.commits.version().unwrap_or(Version::ZERO), leader));
        }
        for sent in sent {
            self.note("ask", format_args!("{sent}"));
        }
    }

    fn begin_and_end_faults(&mut self) {
        let now = self.stage.now;
        let (over, lasting): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.lasting).into_iter().partition(|(end, _)| *end <= now);
        self.lasting = lasting;
        for (_, kind) in over {
            self.note("over", format_args!("{kind:?}"));
            kind.end(&mut self.stage);
        }
        while let Some(Fault { lasts, kind, .. }) = self.faults.pop_front_if(|fault| fault.at <= now) {
            self.note("fault", format_args!("{kind:?} for {lasts:?}"));
            for (lasts, kind) in kind.resolve(lasts, &mut self.stage) {
                self.has_sought |= matches!(kind, Kind::Gives(Statement::Seek(_)));
                let commits = &self.commits;
                let committed = |stage: &Stage, partition| commits.committed_of(&stage.script.incarnation(), partition);
                kind.begin(&mut self.stage, lasts, committed);
                self.lasting.push((now + lasts, kind));
            }
        }
    }

    /// Lets a little time pass in every process, in an order that the seed gives, and checks what came of it.
    fn round(&mut self) -> Result<(), Violation> {
        let tick = if self.pace.happens(300) { self.pace.millis(1, 8) } else { self.pace.millis(8, 45) };
        self.pass(tick)
    }

    fn pass(&mut self, tick: Duration) -> Result<(), Violation> {
        let now = self.stage.now + tick;
        self.stage.set_time(now);
        self.stage.network.deliver(now);
        let (workers, managers) = (self.stage.workers.len(), self.stage.managers.len());
        let mut order: Vec<usize> = (0..workers + managers + 1).collect();
        for at in (1..order.len()).rev() {
            order.swap(at, self.pace.index(at + 1));
        }
        for process in order {
            match process {
                0 => self.stage.client.step(now),
                process if process <= workers => self.stage.workers[process - 1].process.step(now),
                process => self.stage.managers[process - workers - 1].step(now),
            }
        }
        self.stage.observer.step(now);
        self.rounds += 1;
        self.check()
    }

    fn check(&mut self) -> Result<(), Violation> {
        if let Some(panic) = panics::take() {
            return Err(Violation::new("panic", panic));
        }
        if let Some((invariant, text)) = self.stage.troubles.take() {
            return Err(Violation::new(invariant, text));
        }
        self.look_at_catalog()?;
        self.look_at_clients()?;
        for answer in self.stage.answers.take() {
            self.look_at_answer(&answer)?;
        }
        if self.rounds.is_multiple_of(2) {
            self.look_at_workers()?;
        }
        if self.rounds.is_multiple_of(16) {
            let number = self.pace.index(self.stage.workers.len());
            self.stage.check_log(number)?;
        }
        Ok(())
    }

    fn look_at_answer(&mut self, answer: &Answer) -> Result<(), Violation> {
        let Self { clients, commits, inserts, versions, .. } = self;
        let truth = Truth { script: &self.stage.script, clients, commits, inserts, versions };
        let said = self.queries.look(answer, truth)?;
        self.note("q", format_args!("{said}"));
        Ok(())
    }

    /// What clients were told, and what they ask again.
    fn look_at_clients(&mut self) -> Result<(), Violation> {
        if self.inserting.is_none() {
            return Ok(());
        }
        while let Some((of, end)) = self.stage.told.take() {
            self.note("told", format_args!("{of:?} {end:?}"));
            self.clients.told(of, end);
            self.inserts.told(of, &self.clients, &self.commits)?;
        }
        for sent in self.clients.look(&self.stage) {
            self.note("ask", format_args!("{sent}"));
        }
        Ok(())
    }

    fn look_at_workers(&mut self) -> Result<(), Violation> {
        let (catalog, pipeline) = (self.stage.catalog.clone(), self.stage.pipeline.id);
        for worker in &self.stage.workers {
            let Some(open) = self.stage.network.worker(worker.process.name()) else { continue };
            let heartbeat = open.heartbeat();
            let life = worker.process.lives();
            let bounds = self.bounds.entry((heartbeat.address.clone(), life)).or_default();
            match worker.process.is_asleep() {
                true => bounds.reset(),
                false => bounds.look(&heartbeat, self.stage.now, &self.stage.plan)?,
            }
            let observer = &mut self.stage.observer;
            self.workers.look(&heartbeat, life, self.disks_failed, || {
                observer.block_on(async {
                    let state = catalog.pipeline_by_id(pipeline).await.ok()?.state.clone();
                    Some((state, catalog.streams(pipeline).await.ok()?))
                })
            })?;
        }
        let lease = self.stage.observer.block_on(catalog.read_lease(pipeline)).map_err(damaged)?;
        lease.map_or(Ok(()), |lease| self.leases.look(&lease))
    }

    fn look_at_catalog(&mut self) -> Result<(), Violation> {
        let (catalog, table) = (self.stage.catalog.clone(), self.stage.table.id);
        let snapshot = self.stage.observer.block_on(catalog.snapshot(table)).map_err(damaged)?;
        if self.commits.version() == Some(snapshot.version) {
            self.commits.looked(self.stage.now);
            return Ok(());
        }
        let (parts, commits) = (self.stage.parts.clone(), &self.commits);
        let objects: Arc<dyn ObjectStore> = Arc::clone(&self.stage.objects.inner) as _;
        let read = self.stage.observer.block_on(async {
            let mut new = Vec::new();
            for part in snapshot.parts.iter().filter(|part| commits.is_new(part.id)) {
                new.push(parts.read(part, &objects, false).await?);
            }
            Ok::<_, Unread>(new)
        });
        let new = read.map_err(|unread| match unread {
            Unread::Gone(text) => Violation::new("I7", text),
            Unread::Twice(text) => Violation::new("I1", text),
            Unread::Trouble(text) => Violation::new("I7", text),
        })?;
        let mut news = Rows::default();
        for rows in new {
            news.join(&rows).map_err(|cause| Violation::new("I1", format!("in the parts of one look: {cause}")))?;
        }
        let emptied = self.emptied(&snapshot)?;
        let before = self.commits.version().unwrap_or(Version::ZERO);
        let changes = self.commits.look(&snapshot, &news, &self.stage.script, &emptied)?;
        let (catalog, pipeline) = (self.stage.catalog.clone(), self.stage.pipeline.id);
        let (now, versions) = self
            .stage
            .observer
            .block_on(async {
                Ok((catalog.pipeline_by_id(pipeline).await?, catalog.pipeline_versions(pipeline).await?))
            })
            .map_err(damaged)?;
        self.versions.look(&snapshot.streams, &now.state, &versions);
        self.versions.check("what is committed", &news)?;
        self.inserts.look(before, snapshot.version, &news, &self.clients)?;
        self.commits.looked(self.stage.now);
        self.stage.script.begun = self.commits.views().any(|view| !view.stream.is_channel());
        for at in &emptied.at {
            self.note("cat", format_args!("{at} the table is empty"));
        }
        for change in changes {
            self.note("cat", format_args!("{} {change}", snapshot.version));
        }
        Ok(())
    }

    /// Whether the table was emptied since the last look, and what came before that. More often than clients have asked for is too often.
    fn emptied(&mut self, snapshot: &TableSnapshot) -> Result<Emptied, Violation> {
        if snapshot.table.fence == self.stage.table.fence {
            return Ok(Emptied::default());
        }
        self.stage.table = Arc::clone(&snapshot.table);
        let (catalog, table) = (self.stage.catalog.clone(), self.stage.table.id);
        let before = self.commits.version().unwrap_or(Version::ZERO);
        let (mut at, mut commits) = self.stage.observer.block_on(async {
            let at = catalog.truncations(table).await.map_err(damaged)?;
            Ok::<_, Violation>((at, catalog.commits(table, COMMITS_MAX).await.map_err(damaged)?))
        })?;
        if at.len() > self.clients.truncates.len() {
            let text =
                format!("there were {} TRUNCATEs, and {} were asked for", at.len(), self.clients.truncates.len());
            return Err(Violation::new("I6", text));
        }
        at.retain(|at| *at > before);
        commits.retain(|commit| commit.version > before);
        commits.reverse();
        Ok(Emptied { at, commits })
    }

    /// All faults end, and everything runs.
    fn heal(&mut self) {
        self.note("sim", format_args!("all faults are over"));
        for (_, kind) in std::mem::take(&mut self.lasting) {
            kind.end(&mut self.stage);
        }
        let now = self.stage.now;
        let stage = &mut self.stage;
        stage.network.set_weather(stage.plan.weather());
        stage.objects.set_weather(ObjectWeather::default());
        stage.store.set_odds(FaultOdds::default());
        let (store, objects) = (Arc::clone(&stage.store), stage.objects.clone());
        stage.observer.block_on(async {
            store.release().await;
            objects.arrive().await;
        });
        stage.let_late_rows_arrive();
        stage.client.sleep_until(now);
        stage.managers.iter_mut().for_each(|manager| manager.sleep_until(now));
        for worker in &mut stage.workers {
            worker.process.sleep_until(now);
            // A sync that is to fail and has not come yet: one so far away never comes.
            worker.disk.fail_sync(u64::MAX / 2);
        }
        stage.wish.set(true);
        self.clients.ending = true;
    }

    fn drain(&mut self) -> Result<(), Violation> {
        let until = self.stage.now + DRAIN;
        let mut calm = 0;
        while let Some(lag) = lag(&self.commits, &self.stage.script).or_else(|| self.clients.waits()) {
            if self.stage.now > until {
                let state = self.state();
                return Err(Violation::new("I9", format!("after {DRAIN:?} without faults {lag}; {state}")));
            }
            // The longer it takes, the more coarsely time may pass.
            calm += 1;
            let tick = self.pace.millis(10, if calm < 200 { 50 } else { 150 });
            self.pass(tick)?;
        }
        self.note("sim", format_args!("no lag"));
        Ok(())
    }

    /// What the workers and the pipeline say, for a violation.
    fn state(&mut self) -> String {
        let catalog = self.stage.catalog.clone();
        let pipeline = self.stage.pipeline.id;
        let state =
            self.stage.observer.block_on(catalog.pipeline_by_id(pipeline)).map(|pipeline| pipeline.state.clone());
        let mut said = format!("the pipeline is {state:?}");
        for worker in &self.stage.workers {
            match self.stage.network.worker(worker.process.name()) {
                Some(open) => said.push_str(&format!("; {:?}", open.heartbeat())),
                None => said.push_str(&format!("; {} is not open", worker.process.name())),
            }
        }
        said
    }

    /// A last query by each reader in a new session, which must be answered; and all commits together.
    fn look_once_more(&mut self) -> Result<(), Violation> {
        let until = self.stage.now + DRAIN;
        for reader in 0..self.stage.orders.len() {
            loop {
                let asked = self.queries.ask(self.commits.committed());
                let (freshness, rest) = (Freshness::Latest, Duration::from_millis(5));
                let order = Order { freshness, new_session: true, rest, twice: true, anew: false, asked };
                // One that is still busy with an earlier query is asked again.
                let taken = self.stage.orders[reader].try_send(order).is_ok();
                if self.wait_for_answer(reader, asked)? && taken {
                    break;
                }
                if self.stage.now > until {
                    return Err(Violation::new("I9", format!("reader {reader} gets no answer, without any fault")));
                }
            }
        }
        let (catalog, table) = (self.stage.catalog.clone(), self.stage.table.id);
        let commits = self.stage.observer.block_on(catalog.commits(table, COMMITS_MAX)).map_err(damaged)?;
        self.commits.check_all(&commits)?;
        check_end(&self.commits, &self.stage.script, &self.stage.plan.start, self.has_sought)?;
        self.look_at_workers()?;
        let objects = Arc::clone(&self.stage.objects.inner) as Arc<dyn ObjectStore>;
        let parts = self.stage.parts.clone();
        let gone = self.stage.observer.block_on(async {
            let snapshot = catalog.snapshot(table).await.map_err(damaged)?;
            for part in snapshot.parts.iter() {
                parts
                    .read(part, &objects, false)
                    .await
                    .map_err(|unread| Violation::new("I7", format!("{unread:?}")))?;
            }
            Ok(())
        });
        self.note("sim", format_args!("{} commits", commits.len()));
        gone
    }

    /// Lets time pass until the answer to that question is there; whether it is one.
    fn wait_for_answer(&mut self, reader: usize, asked: u64) -> Result<bool, Violation> {
        for _ in 0..400 {
            self.stage.set_time(self.stage.now);
            let tick = self.pace.millis(2, 20);
            self.pass_quietly(tick)?;
            for answer in self.stage.answers.take() {
                self.look_at_answer(&answer)?;
                if answer.reader == reader && answer.order.asked == asked {
                    return Ok(answer.outcome.is_ok());
                }
            }
        }
        Ok(false)
    }

    /// [`History::pass`], with the answers left for the caller.
    fn pass_quietly(&mut self, tick: Duration) -> Result<(), Violation> {
        let answers = self.stage.answers.clone();
        self.stage.answers = super::query::Answers::default();
        let passed = self.pass(tick);
        self.stage.answers = answers;
        passed
    }
}

/// A catalog that cannot be read without any fault is damaged: its own folding has found that a rule was broken.
fn damaged(error: CatalogError) -> Violation {
    let text = error.to_string();
    let invariant = if text.contains("(I2)") { "I2" } else { "I3" };
    Violation::new(invariant, text)
}
