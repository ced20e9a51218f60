//! Panics of the product: a runtime catches them, so a hook keeps the first of each thread until its history asks.

use std::backtrace::Backtrace;
use std::cell::RefCell;
use std::sync::Once;

thread_local! {
    static FIRST: RefCell<Option<String>> = const { RefCell::new(None) };
    static LISTENING: RefCell<bool> = const { RefCell::new(false) };
}

/// Keeps the panics of this thread from here on, instead of printing them. Other threads print theirs.
pub fn listen() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !LISTENING.with_borrow(|listening| *listening) {
                return before(panic);
            }
            let mut text = panic.to_string();
            if std::env::var_os("RUST_BACKTRACE").is_some() {
                text.push_str(&format!("\n{}", Backtrace::force_capture()));
            }
            FIRST.with_borrow_mut(|first| {
                first.get_or_insert(text);
            });
        }));
    });
    LISTENING.set(true);
}

/// Forgets what there was.
pub fn forget() {
    FIRST.set(None);
}

/// The first panic since.
pub fn take() -> Option<String> {
    FIRST.take()
}
