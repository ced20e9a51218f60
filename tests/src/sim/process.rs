//! A simulated process: a runtime of its own on the one thread, with a clock of its own. Dropping the runtime kills it; not
//! stepping it makes a zombie, whose clock jumps when it wakes.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use vfs::{Clock, Inline, SeededRandom, World};

use super::clock::ProcessClock;
use super::draw::Draw;

/// How far behind a process may be and still be stepped through its timers one by one.
const JUMP: Duration = Duration::from_millis(200);

/// One process, living or dead.
#[derive(Debug)]
pub struct Process {
    name: String,
    alive: Option<Alive>,
    /// Until when it is not stepped.
    asleep_until: Option<Duration>,
    /// How often it was started.
    lives: u64,
    draw: Draw,
    planted: Option<&'static str>,
}

#[derive(Debug)]
struct Alive {
    runtime: Runtime,
    clock: Arc<ProcessClock>,
    reached: Duration,
}

impl Process {
    /// A process that was not started yet. A planted bug is in what runs in it, and nowhere else.
    pub fn new(name: impl Into<String>, seed: u64, planted: Option<&'static str>) -> Self {
        let name = name.into();
        let draw = Draw::new(seed, &name);
        Self { name, alive: None, asleep_until: None, lives: 0, draw, planted }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How often it was started.
    pub fn lives(&self) -> u64 {
        self.lives
    }

    /// Whether it runs, or sleeps.
    pub fn is_alive(&self) -> bool {
        self.alive.is_some()
    }

    /// Whether it is not stepped.
    pub fn is_asleep(&self) -> bool {
        self.asleep_until.is_some()
    }

    /// Starts it anew, with its wall clock wrong by up to some seconds, and returns its world.
    pub fn start(&mut self, now: Duration) -> World {
        assert!(self.alive.is_none(), "{} runs already", self.name);
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        self.lives += 1;
        let skew = self.draw.number(0, 4_000_000) as i64 - 2_000_000;
        let clock = {
            let _in = runtime.enter();
            Arc::new(ProcessClock::new(now, skew))
        };
        let random = Arc::new(SeededRandom::new(self.draw.bits()));
        let world = World { clock: Arc::clone(&clock) as Arc<dyn Clock>, random, compute: Arc::new(Inline) };
        self.alive = Some(Alive { runtime, clock, reached: now });
        self.asleep_until = None;
        world
    }

    /// Kills it: all that it does ends where it is.
    pub fn kill(&mut self) {
        let planted = self.planted;
        if let Some(alive) = self.alive.take() {
            within(planted, || drop(alive));
        }
        self.asleep_until = None;
    }

    /// Stops stepping it until then.
    pub fn sleep_until(&mut self, until: Duration) {
        self.asleep_until = Some(until);
    }

    /// Its runtime.
    pub fn handle(&self) -> Option<Handle> {
        self.alive.as_ref().map(|alive| alive.runtime.handle().clone())
    }

    /// Lets it run up to this time of the history.
    pub fn step(&mut self, until: Duration) {
        match self.asleep_until {
            Some(asleep) if asleep > until => return,
            _ => self.asleep_until = None,
        }
        let planted = self.planted;
        let Some(alive) = &mut self.alive else { return };
        let behind = until.saturating_sub(alive.reached);
        let target = alive.clock.instant(until);
        within(planted, || {
            alive.runtime.block_on(async {
                if behind > JUMP {
                    // A machine that slept: its clock has gone on, and all timers are due at once.
                    tokio::time::advance(behind).await;
                }
                tokio::time::sleep_until(target).await;
            });
        });
        alive.reached = until;
    }

    /// Runs something in it to its end, as part of one step: for what takes no time.
    pub fn block_on<T>(&mut self, work: impl Future<Output = T>) -> T {
        let planted = self.planted;
        let alive = self.alive.as_mut().expect("only a living process runs something");
        within(planted, || alive.runtime.block_on(work))
    }
}

/// Runs `work` with the bug planted, if there is one.
fn within<T>(planted: Option<&'static str>, work: impl FnOnce() -> T) -> T {
    match planted {
        Some(bug) => vfs::planted::with(bug, work),
        None => work(),
    }
}
