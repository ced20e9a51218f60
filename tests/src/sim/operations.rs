//! Operations: what producers, readers and people do in a history.

use std::fmt;

use catalog::Offset;
use server::manager::seek::SeekTo;
use warehouse::read::session::Freshness;
use warehouse::write::source::MemoryBroker;

use super::draw::Draw;
use super::operator::Statement;
use super::query::Order;
use super::rows::Mark;
use super::script::{Produced, TOPIC};
use super::stage::Stage;

/// How many marks there are: more than there are statements in a history.
const MARKS: u8 = 26;

/// One operation.
#[derive(Clone, Debug)]
pub enum Operation {
    /// Produces so many records to a partition.
    Produce(i32, u64),
    /// Passes over offsets.
    Skip(i32, u64),
    /// Lets the broker deliver again from an offset.
    DeliverAgain(i32, u64),
    /// Adds a partition.
    AddPartition,
    /// Asks a reader.
    Query(usize, Order),
    /// Pauses the pipeline, or resumes it.
    Wish(bool),
    /// Gives another statement about it.
    State(Statement),
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Produce(partition, count) => write!(f, "produces {count} to partition {partition}"),
            Self::Skip(partition, count) => write!(f, "passes over {count} offsets of partition {partition}"),
            Self::DeliverAgain(partition, from) => write!(f, "delivers partition {partition} again from {from}"),
            Self::AddPartition => f.write_str("adds a partition"),
            Self::Query(reader, order) => {
                write!(f, "asks reader {reader} for {:?} rows", order.freshness)?;
                f.write_str(if order.new_session { " in a new session" } else { "" })
            }
            Self::Wish(true) => f.write_str("resumes the pipeline"),
            Self::Wish(false) => f.write_str("pauses the pipeline"),
            Self::State(statement) => write!(f, "gives {statement:?}"),
        }
    }
}

impl Operation {
    /// Draws one that is possible now.
    pub fn draw(draw: &Draw, stage: &Stage) -> Self {
        let partition = draw.number(0, stage.script.partition_count() as u64) as i32;
        match draw.number(0, 1_000) {
            0..600 => Self::Produce(partition, draw.number(1, 7)),
            600..640 => Self::Skip(partition, draw.number(1, 4)),
            640..670 => {
                let at = stage.script.at(partition);
                Self::DeliverAgain(partition, draw.number(at.low, at.high + 1))
            }
            670..678 if stage.script.partition_count() < 7 => Self::AddPartition,
            678..690 => Self::Wish(!stage.wish.runs()),
            _ => Self::Query(draw.index(stage.orders.len()), query(draw)),
        }
    }

    /// Draws the so-manieth statement that changes the pipeline.
    pub fn draw_statement(draw: &Draw, stage: &Stage, number: u8) -> Self {
        let partition = draw.number(0, stage.script.partition_count() as u64) as i32;
        let at = stage.script.at(partition);
        Self::State(match draw.index(6) {
            0 => Statement::Seek(SeekTo::Earliest),
            1 => Statement::Seek(SeekTo::Latest),
            // A record's time tells its id.
            2 => Statement::Seek(SeekTo::Timestamp(1_700_000_000_000 + draw.number(0, 600) as i64)),
            3 => Statement::Seek(SeekTo::Offsets(
                [(None, [(partition, draw.number(at.low, at.high + 1))].into())].into(),
            )),
            _ => {
                let mark = Mark(b'a' + number % MARKS);
                Statement::Alter(draw.number(1, 6) as u32, draw.one_of(&[400, 1_200, 4_000]), mark)
            }
        })
    }

    /// Does it.
    pub fn run(&self, stage: &mut Stage, draw: &Draw, asked: u64) {
        match self {
            Self::Produce(partition, count) => {
                for _ in 0..*count {
                    let what: fn(i64) -> Produced = match draw.number(0, 100) {
                        0..6 => |_| Produced::Bad,
                        6..14 => |_| Produced::Filtered,
                        _ => Produced::Row,
                    };
                    stage.script.produce(*partition, what);
                }
            }
            Self::Skip(partition, count) => stage.script.skip(*partition, *count),
            Self::DeliverAgain(partition, from) => {
                let broker: &MemoryBroker = stage.script.broker();
                broker.deliver_again(TOPIC, *partition, Offset(*from), 2);
            }
            Self::AddPartition => stage.script.add_partition(),
            // A reader that is still busy is not asked.
            Self::Query(reader, order) => drop(stage.orders[*reader].try_send(Order { asked, ..*order })),
            Self::Wish(runs) => stage.wish.set(*runs),
            Self::State(statement) => stage.statements.add(statement.clone()),
        }
    }
}

fn query(draw: &Draw) -> Order {
    Order {
        freshness: if draw.happens(800) { Freshness::Latest } else { Freshness::Committed },
        new_session: draw.happens(150),
        rest: if draw.happens(700) { draw.millis(0, 20) } else { draw.millis(0, 800) },
        twice: draw.happens(200),
        anew: draw.happens(30),
        asked: 0,
    }
}
