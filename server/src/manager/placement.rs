//! Placement: which stream runs in which task of which worker. Pure, sticky and even.

use std::collections::BTreeMap;

use catalog::{StreamId, TaskIndex};

/// Where a stream runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The worker's address.
    pub address: String,
    /// The task.
    pub task: TaskIndex,
}

/// Places every stream. A stream that has a place at a living worker, in a task that still exists, keeps it; the others go,
/// in order, to the task with the fewest streams. Task `i` lives at worker `i mod workers`.
///
/// # Panics
/// If there are tasks and streams, but no workers.
pub fn place(streams: &BTreeMap<StreamId, Option<Place>>, tasks: u32, workers: &[String]) -> BTreeMap<StreamId, Place> {
    assert!(!workers.is_empty() || streams.is_empty(), "streams can be placed only where a worker lives");
    let home = |task: u32| Place { address: workers[task as usize % workers.len()].clone(), task: TaskIndex(task) };
    let mut load: BTreeMap<u32, usize> = (0..tasks.max(1)).map(|task| (task, 0)).collect();
    let mut placed = BTreeMap::new();
    for (stream, place) in streams {
        let Some(place) = place else { continue };
        if workers.contains(&place.address)
            && let Some(load) = load.get_mut(&place.task.0)
        {
            *load += 1;
            placed.insert(*stream, place.clone());
        }
    }
    for stream in streams.keys() {
        if placed.contains_key(stream) {
            continue;
        }
        let (task, load) = load.iter_mut().min_by_key(|(task, load)| (**load, **task)).expect("there is a task");
        *load += 1;
        placed.insert(*stream, home(*task));
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streams(places: &[Option<(&str, u32)>]) -> BTreeMap<StreamId, Option<Place>> {
        let place = |(address, task): (&str, u32)| Place { address: address.to_owned(), task: TaskIndex(task) };
        places.iter().enumerate().map(|(id, at)| (StreamId(id as u64), at.map(place))).collect()
    }

    #[test]
    fn new_streams_are_spread_evenly_and_old_ones_stay() {
        let workers = ["a".to_owned(), "b".to_owned()];
        let placed = place(&streams(&[Some(("b", 1)), None, None, None, None]), 2, &workers);
        assert_eq!(placed[&StreamId(0)], Place { address: "b".to_owned(), task: TaskIndex(1) });
        let in_task = |task| placed.values().filter(|place| place.task == TaskIndex(task)).count();
        assert_eq!((in_task(0), in_task(1)), (3, 2));
    }

    #[test]
    fn streams_of_a_dead_worker_or_a_task_that_is_no_more_are_placed_again() {
        let workers = ["a".to_owned()];
        let placed = place(&streams(&[Some(("dead", 0)), Some(("a", 7))]), 1, &workers);
        assert!(placed.values().all(|place| *place == Place { address: "a".to_owned(), task: TaskIndex(0) }));
    }
}
