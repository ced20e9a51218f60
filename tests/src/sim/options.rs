//! What histories are like: what may go wrong in them, and who asks for what.

use std::fmt;
use std::str::FromStr;

use super::chains::Chain;
use super::faults::Class;
use super::log::Keep;

/// Which histories have faults that follow from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chains {
    /// None.
    None,
    /// Some of them, as their seeds say.
    Some,
    /// All of them have this one.
    Only(Chain),
    /// All of them have this one, or none, with the faults that they have if so is drawn for them: a seed that failed goes on to mean
    /// what it meant when there were fewer chains to draw.
    Drawn(Option<Chain>),
}

/// What `Drawn` stands behind.
const DRAWN: &str = "drawn-";

impl FromStr for Chains {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.strip_prefix(DRAWN)) {
            ("some", _) => Ok(Self::Some),
            ("none" | "unchained", _) => Ok(Self::None),
            (_, Some("none")) => Ok(Self::Drawn(None)),
            (_, Some(chain)) => Ok(Self::Drawn(Some(chain.parse()?))),
            (chain, None) => Ok(Self::Only(chain.parse()?)),
        }
    }
}

impl fmt::Display for Chains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Some => f.write_str("some"),
            Self::None => f.write_str("none"),
            Self::Only(chain) => chain.fmt(f),
            Self::Drawn(None) => write!(f, "{DRAWN}none"),
            Self::Drawn(Some(chain)) => write!(f, "{DRAWN}{chain}"),
        }
    }
}

/// What histories are like.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which faults there may be.
    pub classes: Vec<Class>,
    /// How many operations.
    pub operations: usize,
    /// How many faults.
    pub faults: usize,
    /// How many workers.
    pub workers: usize,
    /// Whether faults may follow from each other.
    pub chain: Chains,
    /// Whether SEEK and ALTER change the pipeline of some.
    pub statements: bool,
    /// Whether clients INSERT into the table of some, and TRUNCATE it.
    pub inserts: bool,
    /// A planted bug.
    pub planted: Option<&'static str>,
    /// What becomes of its event log.
    pub log: Keep,
}

impl Default for Options {
    fn default() -> Self {
        let classes = super::faults::CLASSES.to_vec();
        Self {
            classes,
            operations: 200,
            faults: 3,
            workers: 3,
            chain: Chains::Some,
            statements: true,
            inserts: true,
            planted: None,
            log: Keep::Last,
        }
    }
}
