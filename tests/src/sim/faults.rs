//! Faults: which there are, how each begins and how it ends. When, and which of them, is drawn by the history.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use catalog::store::FaultOdds;
use vfs::Unsynced;

use super::catalog_store::RowsFault;
use super::draw::Draw;
use super::network::Weather;
use super::objects::ObjectWeather;
use super::operator::Statement;
use super::script::Produced;
use super::stage::Stage;

/// A class of faults, as `--faults` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A worker's process dies.
    Kill,
    /// A worker's machine loses its power: what was not synced is lost, torn, or garbage.
    Power,
    /// A worker's disk is full, or a sync fails.
    Disk,
    /// A process sleeps, and wakes as a zombie.
    Pause,
    /// A manager dies.
    Manager,
    /// Messages are lost, late, doubled; processes are cut off from each other.
    Network,
    /// The object store has trouble.
    Objects,
    /// The catalog's store has: unknown outcomes, late effects, slowness, out of reach.
    Catalog,
    /// The broker: retention, truncation, a topic made anew, away.
    Broker,
}

/// All classes.
pub const CLASSES: &[Class] = &[
    Class::Kill,
    Class::Power,
    Class::Disk,
    Class::Pause,
    Class::Manager,
    Class::Network,
    Class::Objects,
    Class::Catalog,
    Class::Broker,
];

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "kill",
            Self::Power => "power",
            Self::Disk => "disk",
            Self::Pause => "pause",
            Self::Manager => "manager",
            Self::Network => "network",
            Self::Objects => "objects",
            Self::Catalog => "catalog",
            Self::Broker => "broker",
        })
    }
}

impl FromStr for Class {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = CLASSES.iter().find(|class| class.to_string() == text.trim());
        found.copied().ok_or_else(|| {
            let names: Vec<String> = CLASSES.iter().map(Class::to_string).collect();
            format!("there is no class of faults {text:?}: name some of {}, or all, or none", names.join(", "))
        })
    }
}

/// One fault of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// When it begins.
    pub at: Duration,
    /// How long it lasts.
    pub lasts: Duration,
    /// What it is.
    pub kind: Kind,
}

/// What a fault is, and whom it meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// This worker dies, and is started again at the fault's end.
    KillWorker(usize),
    /// Power loss: the disk stops after so many steps, then the process is gone.
    PowerLoss(usize, u64, Unsynced),
    /// The disk has room for so many more bytes.
    DiskFull(usize, u64),
    /// The so-manieth sync from now on fails; in the end the power may go as well, and with it what that sync lost.
    SyncFails(usize, u64, bool),
    /// Whoever owns the stream of this partition then dies.
    OwnerDies(i32),
    /// Whoever owns it then sleeps.
    OwnerSleeps(i32),
    /// Whoever owns it then is alone: no manager reaches it, and it does not reach the catalog's store, for so many milliseconds longer.
    OwnerAlone(i32, u64),
    /// No manager reaches whoever owns it then.
    OwnerUnmanaged(i32),
    /// What whoever owns it then commits of rows is lost, or its answers are.
    OwnerCommits(i32, RowsFault),
    /// No manager reaches this worker.
    Unmanaged(usize),
    /// This worker sleeps.
    WorkerSleeps(usize),
    /// This manager sleeps.
    ManagerSleeps(usize),
    /// The readers and the operator sleep.
    ClientSleeps,
    /// This manager dies.
    KillManager(usize),
    /// Messages suffer.
    Storm(u32, u32, u64),
    /// Two processes do not reach each other.
    Cut(String, String),
    /// Requests to the object store suffer.
    Objects(u32, u32, u32, u32, u64),
    /// Commits of the catalog's store end otherwise.
    Commits(u32, u32, u32),
    /// Commits are slow.
    SlowCatalog(u64),
    /// A process does not reach the catalog's store.
    NoCatalog(String),
    /// What a process commits of rows is lost, or late, or its answers are.
    Rows(String, RowsFault),
    /// What is late arrives.
    LateRows,
    /// Retention takes a share of a partition, in percent of what there is; just before, so many records were produced, which nobody
    /// has read yet.
    Expire(i32, u64, u64),
    /// The broker loses the last records of a partition.
    Truncate(i32, u64),
    /// So many records are produced at once.
    Burst(i32, u64),
    /// It loses what is not committed of a partition but for the first so many records, and then so many others are produced.
    Rewrite(i32, u64, u64),
    /// The topic is deleted and made again with so many partitions; this worker sleeps over it.
    Recreate(i32, Option<usize>),
    /// The broker does not answer.
    BrokerAway,
    /// The broker answers no fetch, as under a quota, and all else.
    FetchesWait,
    /// Somebody gives a statement.
    Gives(Statement),
}

impl Fault {
    /// Draws the faults of a history of that length, by the time of their begin. They are of a few classes, half of them come soon
    /// after the one before, and most that meet a worker meet the same one: rules are broken where faults meet.
    pub fn draw(draw: &Draw, count: usize, classes: &[Class], stage: &Stage, length: Duration) -> Vec<Self> {
        let victim = draw.index(stage.workers.len());
        let mut classes = classes.to_vec();
        let kept = draw.one_of(&[1, 2, 2, 3, classes.len()]);
        while classes.len() > kept {
            classes.remove(draw.index(classes.len()));
        }
        let mut faults: Vec<Self> = Vec::new();
        for _ in 0..if classes.is_empty() { 0 } else { count } {
            let at = match faults.last() {
                Some(before) if draw.happens(550) => before.at + draw.millis(0, 2_000),
                _ => length.mul_f64(draw.number(50, 950) as f64 / 1_000.0),
            };
            let lasts = if draw.happens(500) { draw.millis(5, 400) } else { draw.millis(300, 5_000) };
            let worker = if draw.happens(700) { victim } else { draw.index(stage.workers.len()) };
            faults.push(Self { at, lasts, kind: Kind::draw(draw, draw.one_of(&classes), stage, worker) });
        }
        faults.sort_by_key(|fault| fault.at);
        faults
    }
}

impl Fault {
    /// Draws faults that meet servers, where clients ask them for something: they die and sleep more often than managers alone would.
    pub fn of_servers(draw: &Draw, classes: &[Class], stage: &Stage, length: Duration) -> Vec<Self> {
        let mut faults = Vec::new();
        for (class, permille) in
            [(Class::Manager, 500), (Class::Pause, 300), (Class::Catalog, 250), (Class::Objects, 250)]
        {
            if !draw.happens(permille) || !classes.contains(&class) {
                continue;
            }
            let server = draw.index(stage.managers.len());
            let kind = match class {
                Class::Manager => Kind::KillManager(server),
                Class::Pause => Kind::ManagerSleeps(server),
                class => Kind::draw(draw, class, stage, 0),
            };
            let at = length.mul_f64(draw.number(50, 950) as f64 / 1_000.0);
            faults.push(Self { at, lasts: draw.millis(5, 3_000), kind });
        }
        if draw.happens(250) && [Class::Manager, Class::Catalog].iter().all(|class| classes.contains(class)) {
            faults.extend(Self::of_a_late_insert(draw, stage, length));
        }
        faults
    }

    /// What a server commits is on its way until the server has died, has begun anew and has put away what its earlier life left.
    fn of_a_late_insert(draw: &Draw, stage: &Stage, length: Duration) -> [Self; 3] {
        let server = draw.index(stage.managers.len());
        let at = length.mul_f64(draw.number(50, 700) as f64 / 1_000.0);
        let dies = draw.millis(200, 1_500);
        let late = Kind::Rows(stage.managers[server].name().to_owned(), RowsFault::Late);
        [
            // It ends just behind the death: what the next life sends is not late.
            Self { at, lasts: dies, kind: late },
            Self { at: at + dies, lasts: draw.millis(5, 300), kind: Kind::KillManager(server) },
            Self { at: at + dies + draw.millis(400, 2_500), lasts: Duration::ZERO, kind: Kind::LateRows },
        ]
    }
}

impl Kind {
    fn draw(draw: &Draw, class: Class, stage: &Stage, worker: usize) -> Self {
        let manager = draw.index(stage.managers.len());
        let partition = draw.number(0, stage.plan.partitions as u64) as i32;
        let anybody = || match draw.index(4) {
            0 => stage.managers[manager].name().to_owned(),
            1 => "q".to_owned(),
            _ => stage.workers[worker].process.name().to_owned(),
        };
        match class {
            Class::Kill => Self::KillWorker(worker),
            Class::Power => {
                let unsynced = match draw.index(5) {
                    0 => Unsynced::Lost,
                    1 => Unsynced::Kept,
                    2 => Unsynced::Torn(draw.index(400)),
                    3 => Unsynced::Hole(draw.index(400)),
                    _ => Unsynced::Garbage(draw.bits()),
                };
                Self::PowerLoss(worker, draw.number(0, 12), unsynced)
            }
            Class::Disk if draw.happens(500) => Self::DiskFull(worker, draw.number(0, 3_000)),
            Class::Disk => Self::SyncFails(worker, draw.number(1, 6), draw.happens(500)),
            Class::Pause => match draw.index(5) {
                0 => Self::ManagerSleeps(manager),
                1 => Self::ClientSleeps,
                _ => Self::WorkerSleeps(worker),
            },
            Class::Manager => Self::KillManager(manager),
            Class::Network if draw.happens(400) => {
                let one = if draw.happens(300) { "q".to_owned() } else { stage.managers[manager].name().to_owned() };
                Self::Cut(one, stage.workers[worker].process.name().to_owned())
            }
            Class::Network => {
                Self::Storm(draw.one_of(&[0, 100, 400]), draw.one_of(&[0, 300]), draw.one_of(&[40, 300, 900]))
            }
            Class::Objects => {
                let odds = || draw.one_of(&[0, 0, 150, 500, 1_000]);
                Self::Objects(odds(), odds(), odds(), odds(), draw.one_of(&[0, 0, 500]))
            }
            Class::Catalog => match draw.index(4) {
                0 => Self::SlowCatalog(draw.one_of(&[60, 400, 3_000])),
                1 => Self::NoCatalog(anybody()),
                _ => {
                    let odds = || draw.one_of(&[0, 150, 400]);
                    Self::Commits(odds(), odds(), odds())
                }
            },
            Class::Broker => match draw.index(10) {
                0..3 => Self::Expire(partition, draw.number(1, 120), draw.number(0, 12)),
                3..6 => Self::Truncate(partition, draw.number(1, 12)),
                6..8 => Self::Recreate(draw.number(1, 5) as i32, draw.happens(400).then_some(worker)),
                8 => Self::FetchesWait,
                _ => Self::BrokerAway,
            },
        }
    }

    /// The fault itself, or those that it is made of, each with how long it lasts, where it is known only at its begin whom it meets;
    /// none if it meets nobody.
    pub fn resolve(self, lasts: Duration, stage: &mut Stage) -> Vec<(Duration, Self)> {
        let kinds = |stage: &mut Stage, partition, kinds: &dyn Fn(usize, &Stage) -> Vec<(Duration, Self)>| {
            stage.owner_of(partition).map(|owner| kinds(owner, stage)).unwrap_or_default()
        };
        match self {
            Self::OwnerDies(partition) => kinds(stage, partition, &|owner, _| vec![(lasts, Self::KillWorker(owner))]),
            Self::OwnerSleeps(partition) => {
                kinds(stage, partition, &|owner, _| vec![(lasts, Self::WorkerSleeps(owner))])
            }
            Self::OwnerAlone(partition, longer_ms) => kinds(stage, partition, &|owner, stage| {
                let name = stage.workers[owner].process.name().to_owned();
                let longer = lasts + Duration::from_millis(longer_ms);
                vec![(lasts, Self::Unmanaged(owner)), (longer, Self::NoCatalog(name))]
            }),
            Self::OwnerUnmanaged(partition) => {
                kinds(stage, partition, &|owner, _| vec![(lasts, Self::Unmanaged(owner))])
            }
            Self::OwnerCommits(partition, fault) => kinds(stage, partition, &|owner, stage| {
                vec![(lasts, Self::Rows(stage.workers[owner].process.name().to_owned(), fault))]
            }),
            other => vec![(lasts, other)],
        }
    }

    /// Whether it makes a worker's disk fail, so that it may give up its log.
    pub fn fails_a_disk(&self) -> bool {
        matches!(self, Self::PowerLoss(..) | Self::SyncFails(..) | Self::DiskFull(..))
    }

    /// Lets the fault begin.
    pub fn begin(&self, stage: &mut Stage, lasts: Duration, committed: impl Fn(&Stage, i32) -> u64) {
        let until = stage.now + lasts;
        match self {
            Self::OwnerDies(_)
            | Self::OwnerSleeps(_)
            | Self::OwnerAlone(..)
            | Self::OwnerUnmanaged(_)
            | Self::OwnerCommits(..) => {
                unreachable!("it is resolved before it begins")
            }
            Self::Unmanaged(number) => set_unmanaged(stage, *number, true),
            Self::KillWorker(number) => stage.kill_worker(*number, None),
            Self::PowerLoss(number, steps, _) => stage.workers[*number].disk.stop_after(*steps),
            Self::DiskFull(number, room) => {
                let disk = &stage.workers[*number].disk;
                disk.set_capacity(Some(used(disk) + room));
            }
            Self::SyncFails(number, nth, _) => stage.workers[*number].disk.fail_sync(*nth),
            Self::WorkerSleeps(number) => put_to_sleep(stage, *number, until),
            Self::ManagerSleeps(number) => stage.managers[*number].sleep_until(until),
            Self::ClientSleeps => stage.client.sleep_until(until),
            Self::KillManager(number) => stage.managers[*number].kill(),
            Self::Storm(lost, doubled, delay_ms) => {
                stage.network.set_weather(Weather { lost: *lost, doubled: *doubled, delay_ms: *delay_ms });
            }
            Self::Cut(one, other) => stage.network.set_cut(one, other, true),
            Self::Objects(failed, unanswered, late, torn, slow_ms) => stage.objects.set_weather(ObjectWeather {
                failed: *failed,
                unanswered: *unanswered,
                late: *late,
                torn: *torn,
                slow_ms: *slow_ms,
            }),
            Self::Commits(fail_before, fail_after, apply_later) => stage.store.set_odds(FaultOdds {
                fail_before: *fail_before,
                fail_after: *fail_after,
                apply_later: *apply_later,
            }),
            Self::SlowCatalog(slow_ms) => stage.store_weather.set_slow(*slow_ms),
            Self::NoCatalog(who) => stage.store_weather.set_cut(Some(who.clone())),
            Self::Rows(whose, fault) => stage.store_weather.set_rows(Some((whose.clone(), *fault))),
            Self::LateRows => stage.let_late_rows_arrive(),
            Self::Expire(partition, percent, burst) => {
                if known(stage, *partition).is_some() {
                    (0..*burst).for_each(|_| stage.script.produce(*partition, Produced::Row));
                }
                let Some(at) = known(stage, *partition) else { return };
                let low = at.0 + (at.1 - at.0) * (*percent).min(100) / 100;
                let committed = committed(stage, *partition);
                stage.script.expire(*partition, low, committed);
            }
            Self::Truncate(partition, count) => {
                let Some(at) = known(stage, *partition) else { return };
                let committed = committed(stage, *partition);
                stage.script.truncate(*partition, at.1.saturating_sub(*count).max(at.0), committed);
            }
            Self::Burst(partition, count) => {
                if known(stage, *partition).is_some() {
                    (0..*count).for_each(|_| stage.script.produce(*partition, Produced::Row));
                }
            }
            Self::Rewrite(partition, kept, count) => {
                let Some(at) = known(stage, *partition) else { return };
                let committed = committed(stage, *partition);
                stage.script.truncate(*partition, (committed + kept).clamp(at.0, at.1), committed);
                (0..*count).for_each(|_| stage.script.produce(*partition, Produced::Row));
            }
            Self::Recreate(partitions, sleeper) => {
                if let Some(number) = sleeper {
                    put_to_sleep(stage, *number, until);
                }
                let ends: Vec<u64> =
                    (0..stage.script.partition_count()).map(|partition| committed(stage, partition)).collect();
                stage.script.lose_all(|partition| ends[partition as usize]);
                stage.script.create_topic(*partitions);
            }
            Self::BrokerAway => stage.script.broker().set_reachable(false),
            Self::FetchesWait => stage.script.broker().set_fetching(false),
            Self::Gives(statement) => stage.statements.add(statement.clone()),
        }
    }

    /// Ends it.
    pub fn end(&self, stage: &mut Stage) {
        match self {
            Self::KillWorker(number) => restart_worker(stage, *number),
            Self::PowerLoss(number, _, unsynced) => power_loss(stage, *number, *unsynced),
            Self::SyncFails(number, _, true) => power_loss(stage, *number, Unsynced::Lost),
            Self::DiskFull(number, _) => stage.workers[*number].disk.set_capacity(None),
            Self::SyncFails(_, _, false) | Self::ManagerSleeps(_) | Self::ClientSleeps => {}
            Self::WorkerSleeps(number) | Self::Recreate(_, Some(number)) => {
                stage.network.set_asleep(stage.workers[*number].process.name(), false);
            }
            Self::KillManager(number) => {
                if !stage.managers[*number].is_alive() {
                    stage.start_manager(*number);
                }
            }
            Self::Storm(..) => stage.network.set_weather(stage.plan.weather()),
            Self::Cut(one, other) => stage.network.set_cut(one, other, false),
            Self::Objects(..) => stage.objects.set_weather(ObjectWeather::default()),
            Self::Commits(..) => stage.store.set_odds(FaultOdds::default()),
            Self::SlowCatalog(_) => stage.store_weather.set_slow(0),
            Self::NoCatalog(_) => stage.store_weather.set_cut(None),
            Self::Rows(..) => stage.store_weather.set_rows(None),
            Self::OwnerDies(_) | Self::OwnerSleeps(_) | Self::OwnerAlone(..) | Self::Burst(..) => {}
            Self::OwnerUnmanaged(_) | Self::OwnerCommits(..) | Self::LateRows | Self::Gives(_) => {}
            Self::Unmanaged(number) => set_unmanaged(stage, *number, false),
            Self::Expire(..) | Self::Truncate(..) | Self::Rewrite(..) | Self::Recreate(_, None) => {}
            Self::BrokerAway => stage.script.broker().set_reachable(true),
            Self::FetchesWait => stage.script.broker().set_fetching(true),
        }
    }
}

fn put_to_sleep(stage: &mut Stage, number: usize, until: Duration) {
    let process = &mut stage.workers[number].process;
    process.sleep_until(until);
    stage.network.set_asleep(process.name(), true);
}

fn set_unmanaged(stage: &mut Stage, number: usize, unmanaged: bool) {
    for manager in &stage.managers {
        stage.network.set_cut(manager.name(), stage.workers[number].process.name(), unmanaged);
    }
}

fn power_loss(stage: &mut Stage, number: usize, unsynced: Unsynced) {
    stage.kill_worker(number, Some(unsynced));
    restart_worker(stage, number);
}

fn restart_worker(stage: &mut Stage, number: usize) {
    if !stage.workers[number].process.is_alive() {
        stage.start_worker(number);
    }
}

/// The first and the last offset of a partition, if the topic still has it.
fn known(stage: &Stage, partition: i32) -> Option<(u64, u64)> {
    stage.script.current().find(|(number, _)| *number == partition).map(|(_, at)| (at.low, at.high))
}

fn used(disk: &vfs::MemoryDisk) -> u64 {
    use futures::FutureExt;
    use vfs::Disk;
    let entries = disk.list().now_or_never().expect("a disk in memory answers at once").expect("it lists");
    entries.iter().map(|entry| entry.bytes).sum()
}
