//! `approval`: whether somebody approved a wave, and what is wrong with an approval that does not count. Pure.

use hosttask_crds::label::APPROVED_WAVE;
use hosttask_crds::task::Approval;

use super::tally::cut;
use crate::desired::Desired;
use crate::observed::Observed;

/// The longest value that a message repeats, in characters.
const SHOWN: usize = 128;

/// What an approval says of a wave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said<'a> {
    /// This wave, or a later one, of this revision is approved.
    Yes,
    /// A wave before it is.
    Earlier,
    /// It is not of the form `REVISION/WAVE`.
    Malformed,
    /// It is of another revision.
    Revision(&'a str),
    /// There is no such wave.
    Wave(&'a str),
}

/// Whether the spec or the annotation approves this wave, or a later one, for the update revision; or nobody has to.
pub(super) fn is_given(
    desired: &Desired,
    observed: &Observed,
    update: &str,
    position: usize,
) -> bool {
    let wave = desired.waves.get(position);
    let manual = wave.is_some_and(|wave| wave.approval == Approval::Manual);
    let approves = |(_, text): (_, &String)| read(desired, text, update, position) == Said::Yes;
    !manual || said(desired, observed).any(approves)
}

/// What is wrong with what was said, in words; none where nothing was, or only earlier waves were approved.
pub(super) fn mistake(
    desired: &Desired,
    observed: &Observed,
    update: &str,
    position: usize,
) -> Option<String> {
    let mistake = |(place, text): (&str, &String)| {
        let why = match read(desired, text, update, position) {
            Said::Yes | Said::Earlier => return None,
            Said::Malformed => "it has to be REVISION/WAVE".to_owned(),
            Said::Revision(other) => format!("its revision is {}", cut(other, SHOWN)),
            Said::Wave(other) => format!("there is no wave {}", cut(other, SHOWN)),
        };
        Some(format!(
            "{place} ({:?}) does not count: {why}",
            cut(text, SHOWN)
        ))
    };
    let mistakes: Vec<String> = said(desired, observed).filter_map(mistake).collect();
    (!mistakes.is_empty()).then(|| mistakes.join("; "))
}

/// What was said, and where.
fn said<'a>(
    desired: &'a Desired,
    observed: &'a Observed,
) -> impl Iterator<Item = (&'static str, &'a String)> {
    let field = desired.approved_wave.iter();
    let annotation = observed.requests.approved_wave.iter();
    field
        .map(|text| ("rollout.approvedWave", text))
        .chain(annotation.map(|text| (APPROVED_WAVE, text)))
}

fn read<'a>(desired: &Desired, text: &'a str, update: &str, position: usize) -> Said<'a> {
    let Some((revision, name)) = text.split_once('/') else {
        return Said::Malformed;
    };
    if revision != update {
        return Said::Revision(revision);
    }
    match desired.waves.iter().position(|wave| wave.name == name) {
        None => Said::Wave(name),
        Some(wave) if wave < position => Said::Earlier,
        Some(_) => Said::Yes,
    }
}
