//! What commands tell whoever started them. Where nobody hears it, on a closed pipe or a full disk, it is lost: `println` would panic, and end
//! a server that was only asked to say where it is.

use std::fmt::Arguments;
use std::io::{Write, stderr, stdout};

/// A line to standard output.
pub(crate) fn say(line: Arguments<'_>) {
    let _lost = writeln!(stdout(), "{line}");
}

/// A line to standard error.
pub(crate) fn complain(line: Arguments<'_>) {
    let _lost = writeln!(stderr(), "{line}");
}
