//! How many calls are under way and how much memory their requests take, with a bound on both, and one on those calls that
//! wait without a bound of their own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The bounds, and what is taken.
#[derive(Debug)]
pub(super) struct Tally {
    most_calls: usize,
    most_waits: usize,
    most_bytes: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Taken {
    calls: usize,
    waits: usize,
    bytes: usize,
}

impl Tally {
    /// So many calls, of which so many may wait, and so many bytes.
    pub(super) fn new(most_calls: usize, most_waits: usize, most_bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            most_calls,
            most_waits,
            most_bytes,
            taken: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place for a call whose request has so many bytes; none where there is no room.
    pub(super) fn take(self: &Arc<Self>, bytes: usize) -> Option<Share> {
        let mut taken = self.lock();
        let calls = taken.calls + 1;
        let sum = taken.bytes.checked_add(bytes)?;
        if calls > self.most_calls || sum > self.most_bytes {
            return None;
        }
        taken.calls = calls;
        taken.bytes = sum;
        Some(Share {
            tally: Arc::clone(self),
            bytes,
        })
    }

    /// Takes a place among those that wait, for a call that has one already; none where there is no room.
    pub(super) fn take_wait(self: &Arc<Self>) -> Option<Wait> {
        let mut taken = self.lock();
        if taken.waits >= self.most_waits {
            return None;
        }
        taken.waits += 1;
        Some(Wait(Arc::clone(self)))
    }

    /// How many calls are under way.
    pub(super) fn calls(&self) -> usize {
        self.lock().calls
    }
}

/// The place of a call; free again when dropped, also by a panic.
#[derive(Debug)]
pub(super) struct Share {
    tally: Arc<Tally>,
    bytes: usize,
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.tally.lock();
        taken.calls -= 1;
        taken.bytes -= self.bytes;
    }
}

/// The place of a call that waits; free again when dropped, also by a panic.
#[derive(Debug)]
pub(super) struct Wait(Arc<Tally>);

impl Drop for Wait {
    fn drop(&mut self) {
        self.0.lock().waits -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_more_calls_nor_more_bytes_are_taken_than_there_is_room_for() {
        let tally = Tally::new(2, 1, 10);
        let first = tally.take(6).unwrap();
        assert!(tally.take(5).is_none());
        assert!(tally.take(usize::MAX).is_none());
        let second = tally.take(4).unwrap();
        assert!(tally.take(0).is_none());
        drop(first);
        let third = tally.take(6).unwrap();
        assert_eq!(tally.calls(), 2);
        drop((second, third));
        assert_eq!(tally.calls(), 0);
    }

    #[test]
    fn whoever_waits_leaves_room_for_others() {
        let tally = Tally::new(3, 2, 0);
        let first = (tally.take(0).unwrap(), tally.take_wait().unwrap());
        let second = (tally.take(0).unwrap(), tally.take_wait().unwrap());
        let third = tally.take(0).unwrap();
        assert!(tally.take_wait().is_none());
        drop(first);
        let wait = tally.take_wait().unwrap();
        assert_eq!(tally.calls(), 2);
        drop((second, third, wait));
        assert_eq!(tally.calls(), 0);
    }
}
