//! What a rollout of the simulation did, as it goes: decisions, waves, and how many nodes were in which state.

use jiff::Timestamp;

use super::census::Census;
use super::report::{Entry, Sample, WaveReport};

/// The notes of one rollout.
#[derive(Debug, Default)]
pub(super) struct Journal {
    pub(super) begin: Timestamp,
    pub(super) timeline: Vec<Entry>,
    pub(super) waves: Vec<WaveReport>,
    pub(super) samples: Vec<Sample>,
    pub(super) most_disturbed: usize,
    pub(super) started: usize,
    pub(super) passes: u64,
}

impl Journal {
    /// A new rollout begins.
    pub(super) fn start(begin: Timestamp, waves: Vec<WaveReport>) -> Self {
        Self {
            begin,
            waves,
            ..Self::default()
        }
    }

    /// Seconds since the rollout began.
    pub(super) fn at(&self, now: Timestamp) -> i64 {
        now.as_second().saturating_sub(self.begin.as_second())
    }

    /// Something was decided, or happened.
    pub(super) fn note(&mut self, now: Timestamp, reason: &str, text: &str, warning: bool) {
        self.timeline.push(Entry {
            at: self.at(now),
            until: None,
            reason: reason.to_owned(),
            text: text.to_owned(),
            warning,
            nodes: None,
        });
    }

    /// A node of a wave was started. One after the other they make one line.
    pub(super) fn starts(&mut self, now: Timestamp, wave: usize) {
        let at = self.at(now);
        self.started += 1;
        let Some(wave) = self.waves.get_mut(wave) else {
            return;
        };
        wave.started += 1;
        wave.began.get_or_insert(at);
        if let Some(last) = self.timeline.last_mut()
            && let (Some(nodes), true) = (&mut last.nodes, last.text == wave.name)
        {
            *nodes += 1;
            last.until = Some(at).filter(|until| *until != last.at);
            return;
        }
        self.timeline.push(Entry {
            at,
            until: None,
            reason: "Starts".to_owned(),
            text: wave.name.clone(),
            warning: false,
            nodes: Some(1),
        });
    }

    /// The rollout stands at a wave, or is over.
    pub(super) fn stands(&mut self, now: Timestamp, position: Option<usize>) {
        let at = self.at(now);
        for (index, wave) in self.waves.iter_mut().enumerate() {
            if position == Some(index) && wave.nodes > 0 {
                wave.began.get_or_insert(at);
            }
            let is_past = position.is_none_or(|position| index < position);
            if is_past && wave.began.is_some() {
                wave.ended.get_or_insert(at);
            }
        }
    }

    /// How the nodes do now.
    pub(super) fn count(&mut self, now: Timestamp, census: &Census, failed: usize) {
        self.most_disturbed = self.most_disturbed.max(census.disturbed.iter().sum());
        for (wave, disturbed) in self.waves.iter_mut().zip(&census.disturbed) {
            wave.most_disturbed = wave.most_disturbed.max(*disturbed);
        }
        let sample = census.sample(self.at(now), failed);
        match self.samples.last_mut() {
            Some(last) if last.at == sample.at => *last = sample,
            Some(last) if last.same(&sample) => {}
            _ => self.samples.push(sample),
        }
    }
}
