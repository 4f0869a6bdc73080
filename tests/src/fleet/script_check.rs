//! What a behaviour script may not say.

use super::chance::Span;
use super::script::{After, Behaviour, Happening, Outcome, Script};

/// Why a script was refused.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// It is not YAML of the script's shape.
    #[error("failed to read the behaviour script")]
    Syntax(#[source] Box<serde_saphyr::Error>),
    /// A duration is negative, not finite, too long or has its ends in the wrong order.
    #[error("{place}: a duration must be between 0 and 315360000 seconds, the lower end first")]
    Duration {
        /// Where in the script.
        place: String,
    },
    /// A rule says two things that exclude each other.
    #[error("{place}: {first} and {second} exclude each other, remove one")]
    Contradiction {
        /// Where in the script.
        place: String,
        /// One field.
        first: &'static str,
        /// The other field.
        second: &'static str,
    },
    /// An event does not say which nodes it is about.
    #[error("{place}: name the nodes in `nodes`")]
    NoNodes {
        /// Where in the script.
        place: String,
    },
}

impl Script {
    /// Refuses durations and combinations that cannot be played.
    ///
    /// # Errors
    /// The first thing wrong, with its place.
    pub fn check(&self) -> Result<(), ScriptError> {
        for (index, rule) in self.rules.iter().enumerate() {
            rule.behaviour.check(&format!("rules[{index}]"))?;
        }
        for (index, event) in self.events.iter().enumerate() {
            let place = format!("events[{index}]");
            if !Span::Exact(event.after_seconds).is_valid()
                || !Span::Exact(event.down_seconds).is_valid()
            {
                return Err(ScriptError::Duration { place });
            }
            if event.nodes.is_empty() && event.does != Happening::Joins {
                return Err(ScriptError::NoNodes { place });
            }
        }
        Ok(())
    }
}

impl Behaviour {
    fn check(&self, place: &str) -> Result<(), ScriptError> {
        let after = |after: &Option<After>| after.map(|after| after.after_seconds);
        let probe = |outcome: Outcome| match outcome {
            Outcome::Pass | Outcome::Fail => None,
            Outcome::PassAfterSeconds(span) | Outcome::FailAfterSeconds(span) => Some(span),
        };
        let spans = [
            self.pull_seconds,
            self.start_seconds,
            self.exit.as_ref().map(|exit| exit.after_seconds),
            self.crash_loop.as_ref().map(|crash| crash.after_seconds),
            after(&self.ready),
            after(&self.ready_then_broken),
            self.stop.map(|stop| stop.after_seconds),
            probe(self.probes.startup),
            probe(self.probes.readiness),
            probe(self.probes.liveness),
        ];
        if spans.into_iter().flatten().any(|span| !span.is_valid()) {
            return Err(ScriptError::Duration {
                place: place.to_owned(),
            });
        }
        let pairs = [
            (
                "exit",
                self.exit.is_some(),
                "crashLoop",
                self.crash_loop.is_some(),
            ),
            (
                "neverReady",
                self.never_ready,
                "ready",
                self.ready.is_some(),
            ),
            (
                "neverReady",
                self.never_ready,
                "readyThenBroken",
                self.ready_then_broken.is_some(),
            ),
        ];
        for (first, has_first, second, has_second) in pairs {
            if has_first && has_second {
                return Err(ScriptError::Contradiction {
                    place: place.to_owned(),
                    first,
                    second,
                });
            }
        }
        Ok(())
    }
}
