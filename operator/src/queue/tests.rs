//! The laws of the work queue.

use super::*;
use proptest::prelude::*;

const SOON: Outcome = Outcome::Success(None);

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn keys_are_taken_in_the_order_of_their_first_add() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    for key in ["b", "a", "b", "c"] {
        queue.add(key, now);
    }
    let order: Vec<_> = std::iter::from_fn(|| queue.take(now).map(|t| t.key)).collect();
    assert_eq!(order, ["b", "a", "c"]);
}

#[test]
fn an_add_while_a_key_runs_makes_it_ready_when_it_is_done_and_not_before() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    queue.add("a", now);
    assert!(queue.take(now).is_some());
    assert!(queue.add("a", now));
    assert!(queue.take(now).is_none(), "it runs");
    queue.done(&"a", SOON, now);
    assert!(queue.take(now).is_some(), "the add was not lost");
    queue.done(&"a", SOON, now);
    assert!(queue.take(now).is_none());
    assert!(queue.entries.is_empty(), "a finished key costs no memory");
}

#[test]
fn of_several_delays_the_earliest_wins() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    queue.add_after("a", seconds(10), now);
    queue.add_after("a", seconds(3), now);
    queue.add_after("a", seconds(7), now);
    assert!(queue.take(now + seconds(2)).is_none());
    assert_eq!(queue.next_due(), Some(now + seconds(3)));
    assert!(queue.take(now + seconds(3)).is_some());
    queue.done(&"a", SOON, now + seconds(3));
    assert!(
        queue.take(now + seconds(60)).is_none(),
        "the later delays are gone"
    );
}

#[test]
fn a_failing_key_backs_off_to_five_minutes_and_starts_afresh_after_a_success() {
    let (mut queue, mut now) = (Queue::default(), Instant::now());
    let mut delays = Vec::new();
    queue.add("a", now);
    for _ in 0..12 {
        assert!(queue.take(now).is_some());
        let (_, retry) = queue.done(
            &"a",
            Outcome::Failure {
                at_least: Duration::ZERO,
            },
            now,
        );
        let delay = retry.expect("a failure is tried again");
        delays.push(delay.as_secs());
        assert!(
            queue
                .take(now + delay.saturating_sub(Duration::from_millis(1)))
                .is_none()
        );
        now += delay;
    }
    assert_eq!(delays, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
    assert!(queue.take(now).is_some());
    queue.done(&"a", SOON, now);
    queue.add("a", now);
    queue.take(now);
    let retry = queue
        .done(
            &"a",
            Outcome::Failure {
                at_least: seconds(5),
            },
            now,
        )
        .1;
    assert_eq!(
        retry,
        Some(seconds(5)),
        "the first delay again, but not below what was asked for"
    );
}

#[test]
fn stale_ends_are_answered_quickly_at_first_and_then_with_back_off() {
    let (mut queue, mut now) = (Queue::default(), Instant::now());
    queue.add("a", now);
    let mut delays = Vec::new();
    for _ in 0..5 {
        queue.take(now);
        let delay = queue.done(&"a", Outcome::Stale, now).1.unwrap_or_default();
        delays.push(delay);
        now += delay;
    }
    assert_eq!(
        delays,
        [
            STALE_DELAY,
            STALE_DELAY,
            STALE_DELAY,
            seconds(1),
            seconds(2)
        ]
    );
}

#[test]
fn with_a_thousand_keys_and_two_workers_every_key_is_processed_in_order() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    for key in 0..1_000 {
        queue.add(key, now);
    }
    let (mut running, mut processed): (VecDeque<i32>, Vec<i32>) = (VecDeque::new(), Vec::new());
    loop {
        while running.len() < 2
            && let Some(taken) = queue.take(now)
        {
            running.push_back(taken.key);
        }
        let Some(key) = running.pop_front() else {
            break;
        };
        queue.done(&key, SOON, now);
        processed.push(key);
    }
    assert_eq!(processed, (0..1_000).collect::<Vec<_>>());
}

#[derive(Clone, Debug)]
enum Step {
    Add(u8),
    After(u8, u64),
    Take,
    Done(usize, u8),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0_u8..6).prop_map(Step::Add),
        (0_u8..6, 0_u64..400).prop_map(|(k, s)| Step::After(k, s)),
        Just(Step::Take),
        (0_usize..8, 0_u8..4).prop_map(|(i, o)| Step::Done(i, o)),
        (0_u64..400).prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn no_key_runs_twice_at_once_and_no_add_is_lost(steps in proptest::collection::vec(step(), 1..200)) {
        let (mut queue, mut now) = (Queue::default(), Instant::now());
        let mut running: Vec<u8> = Vec::new();
        // keys that were added and must still be taken at least once
        let mut owed: BTreeSet<u8> = BTreeSet::new();
        for step in steps {
            match step {
                Step::Add(key) => { queue.add(key, now); owed.insert(key); }
                Step::After(key, delay) => { queue.add_after(key, seconds(delay), now); owed.insert(key); }
                Step::Take => if let Some(taken) = queue.take(now) {
                    prop_assert!(!running.contains(&taken.key), "{} runs already", taken.key);
                    running.push(taken.key);
                    owed.remove(&taken.key);
                },
                Step::Done(at, how) => if !running.is_empty() {
                    let key = running.remove(at % running.len());
                    let outcome = match how {
                        0 => SOON,
                        1 => Outcome::Success(Some(seconds(30))),
                        2 => Outcome::Failure { at_least: Duration::ZERO },
                        _ => Outcome::Stale,
                    };
                    queue.done(&key, outcome, now);
                    if how > 0 { owed.insert(key); }
                },
                Step::Wait(delay) => now += seconds(delay),
            }
        }
        for key in running.drain(..) {
            queue.done(&key, SOON, now);
        }
        now += seconds(1_000);
        while let Some(taken) = queue.take(now) {
            owed.remove(&taken.key);
            queue.done(&taken.key, SOON, now);
        }
        prop_assert!(owed.is_empty(), "lost: {owed:?}");
        prop_assert!(queue.entries.is_empty() && queue.is_idle(), "left over: {queue:?}");
    }
}
