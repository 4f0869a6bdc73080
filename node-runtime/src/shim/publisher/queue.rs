//! Events that wait to be sent.

use std::collections::VecDeque;

use containerd_shim_protos::shim::event::Envelope;

/// The most events that wait. A container has a handful of them in its life, a further process three.
pub const MOST_EVENTS: usize = 4096;

/// The topic of what must not be lost: kubelet and containerd wait for it.
const EXIT: &str = "/tasks/exit";

/// An event.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Queued {
    pub(super) topic: String,
    pub(super) envelope: Envelope,
}

/// Events in order.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<Queued>,
    /// Whether one is being sent.
    is_sending: bool,
    dropped: usize,
}

impl Queue {
    /// Adds an event at the end; where there are too many, one of those before it is dropped.
    pub(super) fn put(&mut self, event: Queued) {
        if self.waiting.len() >= MOST_EVENTS {
            let other = self.waiting.iter().position(|it| it.topic != EXIT);
            self.waiting.remove(other.unwrap_or(0));
            self.dropped += 1;
        }
        self.waiting.push_back(event);
    }

    /// Takes the first one to send it.
    pub(super) fn take(&mut self) -> Option<Queued> {
        let first = self.waiting.pop_front();
        self.is_sending = first.is_some();
        first
    }

    /// The one that was taken is done with.
    pub(super) fn sent(&mut self) {
        self.is_sending = false;
    }

    /// How many were not sent yet.
    pub(super) fn left(&self) -> usize {
        self.waiting.len() + usize::from(self.is_sending)
    }

    /// How many were dropped since this was asked last.
    pub(super) fn dropped(&mut self) -> usize {
        std::mem::take(&mut self.dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(topic: &str, number: usize) -> Queued {
        Queued {
            topic: topic.to_owned(),
            envelope: Envelope {
                namespace: number.to_string(),
                ..Envelope::default()
            },
        }
    }

    fn numbers(queue: &mut Queue) -> Vec<String> {
        std::iter::from_fn(|| queue.take())
            .map(|it| it.envelope.namespace)
            .collect()
    }

    #[test]
    fn what_is_no_exit_is_dropped_first_and_the_oldest_of_it() {
        let mut queue = Queue::default();
        queue.put(event(EXIT, 0));
        for number in 1..MOST_EVENTS {
            queue.put(event("/tasks/start", number));
        }
        queue.put(event(EXIT, MOST_EVENTS));
        assert_eq!(
            (queue.left(), queue.dropped(), queue.dropped()),
            (MOST_EVENTS, 1, 0)
        );
        let left = numbers(&mut queue);
        assert_eq!(left.get(..2).unwrap(), ["0", "2"]);
        assert_eq!(left.last().unwrap(), &MOST_EVENTS.to_string());
    }

    #[test]
    fn where_all_are_exits_the_oldest_is_dropped() {
        let mut queue = Queue::default();
        for number in 0..=MOST_EVENTS {
            queue.put(event(EXIT, number));
        }
        assert_eq!(numbers(&mut queue).first().unwrap(), "1");
    }

    #[test]
    fn one_that_is_being_sent_is_not_sent_yet() {
        let mut queue = Queue::default();
        queue.put(event(EXIT, 0));
        assert!(queue.take().is_some());
        assert_eq!(queue.left(), 1);
        queue.sent();
        assert_eq!(queue.left(), 0);
    }
}
