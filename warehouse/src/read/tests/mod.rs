//! The read side as a whole, told in stories.

mod answers;
mod counts;
mod damage;
mod limits;
mod planning;
mod plans;
mod sessions;
