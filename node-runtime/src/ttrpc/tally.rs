//! How many calls are under way and how much memory their requests take, with a bound on both.

use std::sync::{Arc, Mutex, PoisonError};

/// The bounds, and what is taken.
#[derive(Debug)]
pub(super) struct Tally {
    most_calls: usize,
    most_bytes: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Taken {
    calls: usize,
    bytes: usize,
}

impl Tally {
    pub(super) fn new(most_calls: usize, most_bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            most_calls,
            most_bytes,
            taken: Mutex::default(),
        })
    }

    /// Takes a place for a call whose request has so many bytes; none where there is no room.
    pub(super) fn take(self: &Arc<Self>, bytes: usize) -> Option<Share> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let calls = taken.calls + 1;
        let sum = taken.bytes.checked_add(bytes)?;
        if calls > self.most_calls || sum > self.most_bytes {
            return None;
        }
        *taken = Taken { calls, bytes: sum };
        Some(Share {
            tally: Arc::clone(self),
            bytes,
        })
    }

    /// How many calls are under way.
    pub(super) fn calls(&self) -> usize {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.calls
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
        let taken = self.tally.taken.lock();
        let mut taken = taken.unwrap_or_else(PoisonError::into_inner);
        taken.calls -= 1;
        taken.bytes -= self.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_more_calls_nor_more_bytes_are_taken_than_there_is_room_for() {
        let tally = Tally::new(2, 10);
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
}
