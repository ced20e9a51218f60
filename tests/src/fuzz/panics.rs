//! Panics of any thread, kept for the campaign that caused them.

use std::panic;
use std::sync::{Mutex, Once, PoisonError};

static HEARD: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// From now on panics are kept, and printed no more.
pub(super) fn listen() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        panic::set_hook(Box::new(|info| HEARD.lock().unwrap_or_else(PoisonError::into_inner).push(info.to_string())));
    });
}

/// The panics since this was last asked.
pub(super) fn heard() -> Vec<String> {
    std::mem::take(&mut *HEARD.lock().unwrap_or_else(PoisonError::into_inner))
}
