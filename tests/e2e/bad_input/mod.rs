//! Bad input: each kind with a message that names the place, the cause and the next step; and nothing else is harmed.

mod broker;
mod damage;
mod disk;
mod records;
mod startup;
