//! The same done with many things, by as many threads as there are processors.

use std::sync::{LazyLock, Mutex, PoisonError};

/// Asked once: the answer is gathered from several files.
static PROCESSORS: LazyLock<usize> =
    LazyLock::new(|| std::thread::available_parallelism().map_or(1, usize::from).min(8));

/// How many threads work at once.
pub(super) fn width() -> usize {
    *PROCESSORS
}

/// Does the same with all of them; the results in their order.
pub(super) fn in_parallel<T: Send, R: Send>(items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let threads = items.len().min(*PROCESSORS);
    if threads < 2 {
        return items.into_iter().map(work).collect();
    }
    let mut done: Vec<(usize, R)> = Vec::with_capacity(items.len());
    // Taken one after the other by whoever is free: they differ much in size.
    let tasks = Mutex::new(items.into_iter().enumerate());
    let results = Mutex::new(&mut done);
    let run = || {
        loop {
            let task = tasks.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((at, item)) = task else { break };
            let result = work(item);
            results.lock().unwrap_or_else(PoisonError::into_inner).push((at, result));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(run);
        }
        run();
    });
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_what_they_are_of() {
        for count in [0, 1, 2, 1000] {
            let doubled = in_parallel((0..count).collect(), |number: usize| 2 * number);
            assert_eq!(doubled, (0..count).map(|number| 2 * number).collect::<Vec<_>>());
        }
    }
}
