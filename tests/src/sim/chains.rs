//! Chains: faults that follow from each other. Some rules are only in force where three things meet that seldom meet by chance: a
//! part of all histories has its faults drawn as one of these.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use server::manager::seek::SeekTo;

use super::catalog_store::RowsFault;
use super::draw::Draw;
use super::faults::{Class, Fault, Kind};
use super::operator::Statement;
use super::rows::Mark;
use super::stage::Stage;

/// What an ALTER of a chain marks rows by: one that no other ALTER of a history comes to.
const LAST_MARK: Mark = Mark(b'z');

/// How faults follow from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Chain {
    /// A stream goes to another worker and back, while the broker loses records and writes others in their place: what the first
    /// owner has logged and not committed is no longer what is there.
    Back,
    /// A worker that has not heard how its commit ended is left alone, and a stream goes to another worker and back: to the task that
    /// held it before, and that hears only now.
    Anew,
    /// A topic is made again while the owner of a stream sleeps, with rows that he has shown and not committed.
    End,
    /// A grant comes, or comes again, when its stream is held under a newer one.
    Late,
    /// The object store is away while much is produced: logs and memory fill.
    Full,
    /// A disk has no room for a whole write, and then its process dies.
    Torn,
    /// A commit is lost with its answer, and its worker goes on: what it has shown is in its log, and nowhere else, when it dies.
    Lost,
    /// A worker's commit has happened, and it does not hear so for long. Meanwhile the stream goes to another worker, which dies before
    /// it has committed anything, and back.
    Unheard,
    /// A worker's commit is on its way for long, and arrives when the worker has died and another holds the stream.
    Overdue,
    /// A SEEK meets a topic that is made again: what it has resolved is an offset of one incarnation, and what it finds at its end may
    /// be a stream of the other.
    Sought,
    /// An ALTER is given about when the owner of a stream dies with rows that he has shown and not committed.
    Altered,
}

/// All chains.
pub const CHAINS: &[Chain] = &[
    Chain::Back,
    Chain::Anew,
    Chain::End,
    Chain::Late,
    Chain::Full,
    Chain::Torn,
    Chain::Lost,
    Chain::Unheard,
    Chain::Overdue,
    Chain::Sought,
    Chain::Altered,
];

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Back => "back",
            Self::Anew => "anew",
            Self::End => "end",
            Self::Late => "late",
            Self::Full => "full",
            Self::Torn => "torn",
            Self::Lost => "lost",
            Self::Unheard => "unheard",
            Self::Overdue => "overdue",
            Self::Sought => "sought",
            Self::Altered => "altered",
        })
    }
}

impl FromStr for Chain {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = CHAINS.iter().find(|chain| chain.to_string() == text.trim());
        found.copied().ok_or_else(|| {
            let names: Vec<String> = CHAINS.iter().map(Chain::to_string).collect();
            format!("there is no chain {text:?}: name one of {}", names.join(", "))
        })
    }
}

impl Chain {
    /// The classes that its faults are of.
    fn classes(self) -> &'static [Class] {
        match self {
            Self::Back => &[Class::Kill, Class::Broker],
            Self::Anew => &[Class::Catalog, Class::Network, Class::Kill],
            Self::End => &[Class::Broker, Class::Pause],
            Self::Late => &[Class::Network, Class::Kill, Class::Pause],
            Self::Full => &[Class::Objects, Class::Broker],
            Self::Torn => &[Class::Disk, Class::Kill],
            Self::Lost => &[Class::Catalog, Class::Kill],
            Self::Unheard => &[Class::Catalog, Class::Network, Class::Kill],
            Self::Overdue => &[Class::Catalog, Class::Kill],
            Self::Sought => &[Class::Broker, Class::Pause],
            Self::Altered => &[Class::Kill, Class::Broker, Class::Manager],
        }
    }

    /// How often it is drawn, beside others: what stands behind some is the only way to a rule, and is seldom met even so.
    fn weight(self) -> usize {
        match self {
            Self::Late | Self::Full => 2,
            Self::Unheard => 3,
            _ => 1,
        }
    }

    /// Whether it gives a SEEK or an ALTER.
    fn has_statements(self) -> bool {
        matches!(self, Self::Sought | Self::Altered)
    }

    /// Draws one of those whose faults are all among the classes; of those that give statements only where they may be given.
    pub fn draw(draw: &Draw, classes: &[Class], statements: bool) -> Option<Self> {
        let possible = |chain: &&Self| {
            chain.classes().iter().all(|class| classes.contains(class)) && (statements || !chain.has_statements())
        };
        let weighed = |chain: &Self| std::iter::repeat_n(*chain, chain.weight());
        let possible: Vec<Self> = CHAINS.iter().filter(possible).flat_map(weighed).collect();
        (!possible.is_empty()).then(|| draw.one_of(&possible))
    }

    /// Its faults, in a history of that length.
    pub fn faults(self, draw: &Draw, stage: &Stage, length: Duration) -> Vec<Fault> {
        let at = length.mul_f64(draw.number(50, 600) as f64 / 1_000.0);
        let partition = draw.number(0, stage.plan.partitions as u64) as i32;
        let worker = draw.index(stage.workers.len());
        let manager = draw.index(stage.managers.len());
        let fault = |at, lasts, kind| Fault { at, lasts, kind };
        let mut faults = match self {
            Self::Back => {
                let away = draw.millis(600, 2_500);
                let again = at + away + draw.millis(20, 1_200);
                vec![
                    fault(at, away, Kind::OwnerDies(partition)),
                    fault(
                        at + draw.millis(1, 150),
                        Duration::ZERO,
                        Kind::Rewrite(partition, draw.number(0, 3), draw.number(1, 4)),
                    ),
                    fault(again, draw.millis(1_500, 4_000), Kind::OwnerDies(partition)),
                ]
            }
            Self::Anew => {
                let (unheard, alone) = (draw.millis(300, 1_200), draw.millis(900, 2_500));
                let longer = draw.number(300, 2_500);
                let moved_on = at + unheard + draw.millis(400, 1_800);
                vec![
                    fault(at, unheard + draw.millis(20, 100), Kind::Commits(0, draw.one_of(&[400, 1_000]), 0)),
                    fault(at + unheard, alone, Kind::OwnerAlone(partition, longer)),
                    fault(moved_on, draw.millis(1_500, 4_000), Kind::OwnerDies(partition)),
                ]
            }
            Self::End => {
                let asleep = draw.millis(2_500, 6_000);
                let made_again = Kind::Recreate(draw.number(1, 5) as i32, None);
                vec![
                    fault(at, asleep, Kind::OwnerSleeps(partition)),
                    fault(at + draw.millis(1, 400), Duration::ZERO, made_again),
                    fault(at + asleep + draw.millis(0, 500), draw.millis(5, 300), Kind::KillManager(manager)),
                ]
            }
            Self::Late => {
                let (doubled, delay_ms) = (draw.one_of(&[300, 700]), draw.one_of(&[100, 300, 900]));
                let mut faults = vec![
                    fault(at, draw.millis(3_000, 6_000), Kind::Storm(0, doubled, delay_ms)),
                    fault(at + draw.millis(500, 3_000), draw.millis(300, 3_000), Kind::OwnerSleeps(partition)),
                ];
                // One that is back soon is granted again what it held, while grants of its lives before are still on their way.
                let mut dies = at;
                for _ in 0..3 {
                    dies += draw.millis(300, 1_300);
                    faults.push(fault(dies, draw.millis(5, 300), Kind::OwnerDies(partition)));
                }
                faults
            }
            Self::Full => {
                let away = draw.number(4_000, 9_000);
                let mut faults = vec![fault(at, Duration::from_millis(away), Kind::Objects(1_000, 0, 0, 0, 0))];
                faults.extend((0..10).map(|_| {
                    fault(at + draw.millis(200, away), Duration::ZERO, Kind::Burst(partition, draw.number(100, 300)))
                }));
                faults
            }
            Self::Torn => {
                let full = draw.millis(300, 2_500);
                vec![
                    fault(at, full, Kind::DiskFull(worker, draw.number(0, 900))),
                    fault(at + draw.millis(0, 800), Duration::ZERO, Kind::Burst(partition, draw.number(10, 60))),
                    fault(at + full + draw.millis(0, 1_500), draw.millis(5, 400), Kind::KillWorker(worker)),
                ]
            }
            Self::Lost => {
                let lasts = draw.number(400, 2_500);
                let mut faults =
                    vec![fault(at, Duration::from_millis(lasts), Kind::OwnerCommits(partition, RowsFault::Lost))];
                faults.extend((0..4).map(|_| {
                    fault(at + draw.millis(0, lasts), Duration::ZERO, Kind::Burst(partition, draw.number(5, 40)))
                }));
                let dies = at + draw.millis(lasts / 2, lasts + 500);
                faults.push(fault(dies, draw.millis(5, 1_500), Kind::OwnerDies(partition)));
                faults
            }
            Self::Unheard => {
                let unmanaged = at + draw.millis(300, 2_000);
                let dies = unmanaged + draw.millis(600, 1_800);
                vec![
                    fault(at, draw.millis(2_500, 7_000), Kind::OwnerCommits(partition, RowsFault::Unheard)),
                    fault(at + draw.millis(0, 300), Duration::ZERO, Kind::Burst(partition, draw.number(5, 60))),
                    fault(unmanaged, draw.millis(500, 1_300), Kind::OwnerUnmanaged(partition)),
                    fault(dies, draw.millis(1_500, 4_000), Kind::OwnerDies(partition)),
                ]
            }
            Self::Overdue => {
                let dies = draw.millis(300, 1_500);
                let late = Kind::OwnerCommits(partition, RowsFault::Late);
                vec![
                    // It ends just behind the death: what the next life sends is not late.
                    fault(at, dies, late),
                    fault(at + draw.millis(0, 300), Duration::ZERO, Kind::Burst(partition, draw.number(5, 60))),
                    fault(at + dies, draw.millis(5, 3_000), Kind::OwnerDies(partition)),
                    fault(at + dies + draw.millis(500, 4_000), Duration::ZERO, Kind::LateRows),
                ]
            }
            Self::Sought => {
                let to = if draw.happens(700) { SeekTo::Latest } else { SeekTo::Earliest };
                let (sought, made_again) =
                    (Kind::Gives(Statement::Seek(to)), Kind::Recreate(draw.number(1, 5) as i32, None));
                let after = draw.millis(0, 1_200);
                let (first, second) = if draw.happens(600) { (sought, made_again) } else { (made_again, sought) };
                vec![
                    // Until he wakes nothing of his is drained.
                    fault(at, draw.millis(500, 3_000), Kind::OwnerSleeps(partition)),
                    fault(at, Duration::ZERO, first),
                    // An offset of the longer incarnation is none of the shorter.
                    fault(at, Duration::ZERO, Kind::Burst(0, draw.number(30, 120))),
                    fault(at + after, Duration::ZERO, second),
                ]
            }
            Self::Altered => {
                let alter = Statement::Alter(draw.number(1, 6) as u32, draw.one_of(&[400, 1_200, 4_000]), LAST_MARK);
                let given = at + draw.millis(0, 1_500);
                let dies = at + draw.millis(100, 1_500);
                let unmanaged = dies + draw.millis(0, 1_000);
                let managers = stage.managers.len();
                let mut faults = vec![
                    fault(at, Duration::ZERO, Kind::Burst(partition, draw.number(5, 60))),
                    fault(given, Duration::ZERO, Kind::Gives(alter)),
                    fault(dies, draw.millis(1_500, 4_000), Kind::OwnerDies(partition)),
                    // Who is granted the stream cannot read at once what was shown of it.
                    fault(dies, draw.millis(1_000, 4_000), Kind::FetchesWait),
                ];
                if draw.happens(400) {
                    // And the manager forgets what it had heard of it.
                    faults.extend((0..managers).map(|of| fault(unmanaged, draw.millis(5, 300), Kind::KillManager(of))));
                }
                faults
            }
        };
        faults.sort_by_key(|fault| fault.at);
        faults
    }
}
