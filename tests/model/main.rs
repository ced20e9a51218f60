//! The commit protocol, small and explored whole: commit, grant, fencing, unknown outcome and sweeping, with two tasks, two
//! epochs, three batches and one unknown outcome. Every order of everything that can happen is tried.
//!
//! It is a model, not the product: its actions bear the names of the product's functions, so that one can be read beside the
//! other. That the product keeps to it is what the simulation shows.

// A test that cannot go on fails: that is what unwrap is for here.
#![allow(clippy::unwrap_used, unreachable_pub)]

mod catalog;
mod properties;
mod protocol;
mod rules;
mod task;

use std::collections::BTreeSet;
use std::num::NonZero;
use std::thread::available_parallelism;

use stateright::{Checker, HasDiscoveries, Model};

use properties::{DANGLING, DELETED, FENCED, FORGOTTEN, NOT_TWICE, ONCE, ORDER, STALE, TOLD};
use protocol::Protocol;
use rules::Rule;

fn threads() -> usize {
    available_parallelism().map_or(1, NonZero::get)
}

fn explore(has_one_slot: bool) {
    let checker = Protocol { has_one_slot, broken: None }.checker().threads(threads()).spawn_bfs().join();
    println!(
        "{} states, of which {} differ, {} deep",
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth()
    );
    assert!(checker.is_done());
    checker.assert_properties();
}

#[test]
fn two_shares_of_a_pipeline_keep_the_protocol_in_every_order() {
    explore(false);
}

#[test]
fn one_share_on_two_workers_keeps_the_protocol_in_every_order() {
    explore(true);
}

/// By what each broken rule is noticed: by all of these, in some history or other.
fn noticed_by(rule: Rule) -> &'static [&'static str] {
    match rule {
        Rule::TokenIsRead => &[NOT_TWICE, ORDER, ONCE],
        Rule::VoidIsRead => &[FORGOTTEN],
        Rule::EpochIsCompared => &[FENCED],
        Rule::OffsetIsCompared => &[NOT_TWICE, ORDER],
        Rule::IntentIsRead => &[DELETED],
        Rule::ReadsAreCompared => &[NOT_TWICE, FENCED, STALE],
        Rule::UploadIsAwaited => &[DANGLING],
        Rule::UnknownIsNoFailure => &[DELETED],
        Rule::UnknownIsNoSuccess => &[TOLD],
        Rule::IntentGoesFirst => &[DELETED],
        Rule::IntentIsCompared => &[DELETED],
    }
}

#[test]
fn each_rule_that_is_broken_is_noticed() {
    for rule in Rule::ALL {
        let wanted: BTreeSet<&'static str> = noticed_by(rule).iter().copied().collect();
        let model = Protocol { has_one_slot: false, broken: Some(rule) };
        let finish = HasDiscoveries::AllOf(wanted.clone());
        let checker = model.checker().threads(threads()).finish_when(finish).spawn_bfs().join();
        let found = checker.discoveries();
        let missed: Vec<_> = wanted.iter().filter(|name| !found.contains_key(*name)).collect();
        assert!(missed.is_empty(), "{rule:?} broken is not noticed by {missed:?}");
        let shortest = wanted.iter().map(|name| found[name].clone().into_actions().len()).min().unwrap();
        println!("{rule:?}: noticed after {} states, {shortest} actions at least", checker.unique_state_count());
    }
}
