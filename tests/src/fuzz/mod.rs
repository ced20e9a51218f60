//! Fuzzing: inputs that nobody would write, made from real ones by damage, for everything that reads bytes of strangers.
//!
//! A [`Target`] brings real inputs, words of its language, and a judgement of one input. A [`campaign`](run) damages inputs by a
//! seed, and keeps what made the target say something new, so that it goes deeper than damage to the first inputs alone would. It is
//! not guided by coverage: that needs a compiler's nightly build.

mod campaign;
mod json;
mod mutate;
mod mysql;
mod node;
mod panics;
mod sql;
mod wal;

pub use campaign::{Finding, Outcome, run};

/// Something that reads bytes.
pub trait Target {
    /// Real inputs.
    fn seeds(&self) -> Vec<Vec<u8>>;

    /// Pieces that are put into inputs: keywords, delimiters, numbers at their limits.
    fn words(&self) -> &[&[u8]];

    /// Gives the input to the product.
    ///
    /// What it says is a name for how the input was taken, such as the name of an error: an input with a new one is kept.
    ///
    /// # Errors
    /// What is wrong with how it was taken. A panic is wrong anyhow, on whatever thread, and needs not be looked for.
    fn take(&mut self, input: &[u8]) -> Result<String, String>;
}

/// The names of all targets.
pub const TARGETS: &[&str] = &["wal", "json", "mysql-login", "mysql-commands", "sql"];

/// The target of this name.
///
/// # Errors
/// If there is none, or what it needs cannot be started.
pub fn target(name: &str) -> anyhow::Result<Box<dyn Target>> {
    Ok(match name {
        "wal" => Box::new(wal::WalTarget::new()?),
        "json" => Box::new(json::JsonTarget::new()?),
        "mysql-login" => Box::new(mysql::MysqlTarget::before_login()?),
        "mysql-commands" => Box::new(mysql::MysqlTarget::after_login()?),
        "sql" => Box::new(sql::SqlTarget::new()?),
        other => anyhow::bail!("there is no target {other}; there are {}", TARGETS.join(", ")),
    })
}
