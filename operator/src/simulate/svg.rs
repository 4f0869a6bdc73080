//! The picture of a rollout: nodes over time by state, as a stacked area. Readable on light and dark ground.
//!
//! Coordinates are tenths of a pixel, so that whole numbers are fine enough.

use std::fmt::Write as _;

use hosttask_crds::task::Mode;

use super::report::{Report, Rollout, Sample};
use super::words::spoken;

const WIDTH: i64 = 9600;
const HEIGHT: i64 = 4600;
const LEFT: i64 = 700;
const RIGHT: i64 = 9400;
const TOP: i64 = 1000;
const BOTTOM: i64 = 3900;
/// The most steps of an area: more than there are pixels say nothing.
const STEPS: usize = 800;
/// The states, in the order in which they are stacked: class, and what they are called in mode Daemon and else.
const STATES: [(&str, &str, &str); 5] = [
    ("updated", "at the update", "succeeded"),
    ("stable", "as before", "waiting"),
    ("moving", "disturbed", "running"),
    ("failed", "failed", "failed"),
    ("unreachable", "unreachable", "unreachable"),
];
/// The distances of ticks on the time axis, in seconds.
const TIMES: [i64; 21] = [
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400,
    172_800, 604_800, 1_209_600,
];
const STYLE: &str = "
  svg { background: #ffffff; color: #1f2328; font: 130px system-ui, sans-serif }
  text { fill: currentColor } .title { font-size: 170px; font-weight: 600 } .end { text-anchor: end } .middle { text-anchor: middle }
  .axis { stroke: currentColor; stroke-width: 10 } .grid { stroke: currentColor; stroke-width: 5; opacity: .2 }
  .wave { stroke: currentColor; stroke-width: 10; stroke-dasharray: 60 40; opacity: .7 }
  .updated { fill: #2e9e6b } .stable { fill: #6f9fd8 } .moving { fill: #e2a72e } .failed { fill: #c93c37 } .unreachable { fill: #8d949c }
  @media (prefers-color-scheme: dark) {
    svg { background: #0d1117; color: #e6edf3 }
    .updated { fill: #3fb37f } .stable { fill: #4f7fb8 } .moving { fill: #d29922 } .failed { fill: #f85149 } .unreachable { fill: #6e7681 }
  }
";

/// The picture of one rollout as an SVG document without references to anything else.
pub fn picture(report: &Report, rollout: &Rollout) -> String {
    let nodes = report.nodes.max(1);
    let end = rollout
        .samples
        .last()
        .map_or(1, |sample| sample.at)
        .max(rollout.seconds)
        .max(1);
    let scale = Scale {
        end,
        nodes: i64::try_from(nodes).unwrap_or(i64::MAX),
    };
    let mut out = String::new();
    let title = escape(&format!(
        "{}: {} on {} nodes, {}",
        report.task, rollout.name, report.nodes, rollout.reason
    ));
    put(
        &mut out,
        format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"960\" height=\"460\" role=\"img\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n<text class=\"title\" x=\"{LEFT}\" y=\"300\">{title}</text>"
        ),
    );
    legend(&mut out, report.mode);
    let samples = thin(&rollout.samples);
    for (layer, (class, _, _)) in STATES.iter().enumerate() {
        area(&mut out, &samples, layer, class, scale);
    }
    axes(&mut out, scale);
    for wave in rollout.waves.iter().filter(|_| rollout.waves.len() > 1) {
        if let Some(began) = wave.began {
            let (x, name) = (scale.x(began), escape(&wave.name));
            put(
                &mut out,
                format_args!(
                    "<line class=\"wave\" x1=\"{x}\" y1=\"{TOP}\" x2=\"{x}\" y2=\"{BOTTOM}\"/><text x=\"{}\" y=\"{}\">{name}</text>",
                    x + 40,
                    TOP - 60
                ),
            );
        }
    }
    out.push_str("</svg>\n");
    out
}

/// From seconds and nodes to coordinates.
#[derive(Clone, Copy)]
struct Scale {
    end: i64,
    nodes: i64,
}

impl Scale {
    fn x(self, at: i64) -> i64 {
        LEFT + at.saturating_mul(RIGHT - LEFT) / self.end
    }

    fn y(self, nodes: i64) -> i64 {
        BOTTOM - nodes.saturating_mul(BOTTOM - TOP) / self.nodes
    }
}

fn put(out: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing into memory cannot fail.
    let _ = out.write_fmt(what);
    out.push('\n');
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// At most [`STEPS`] samples, the last one among them.
fn thin(samples: &[Sample]) -> Vec<Sample> {
    let stride = samples.len().div_ceil(STEPS).max(1);
    let mut thin: Vec<Sample> = samples.iter().step_by(stride).copied().collect();
    if let Some(last) = samples.last().filter(|last| thin.last() != Some(last)) {
        thin.push(*last);
    }
    thin
}

/// One state, between the sum of the states below and itself. Each count holds until the next sample.
fn area(out: &mut String, samples: &[Sample], layer: usize, class: &str, scale: Scale) {
    let sum = |sample: &Sample, layers: usize| {
        let sum: usize = sample.stack().iter().take(layers).sum();
        i64::try_from(sum).unwrap_or(i64::MAX)
    };
    if samples
        .iter()
        .all(|sample| sum(sample, layer) == sum(sample, layer + 1))
    {
        return;
    }
    let edge = |layers: usize| {
        let mut points = Vec::new();
        for (index, sample) in samples.iter().enumerate() {
            let until = samples.get(index + 1).map_or(scale.end, |next| next.at);
            let y = scale.y(sum(sample, layers));
            points.extend([(scale.x(sample.at), y), (scale.x(until), y)]);
        }
        points
    };
    let mut points = edge(layer + 1);
    points.extend(edge(layer).into_iter().rev());
    let words: Vec<String> = points.iter().map(|(x, y)| format!("{x},{y}")).collect();
    put(
        out,
        format_args!(
            "<polygon class=\"{class}\" points=\"{}\"/>",
            words.join(" ")
        ),
    );
}

fn legend(out: &mut String, mode: Mode) {
    let mut x = LEFT;
    for (class, daemon, once) in STATES {
        let name = if mode == Mode::Daemon { daemon } else { once };
        put(
            out,
            format_args!(
                "<rect class=\"{class}\" x=\"{x}\" y=\"460\" width=\"150\" height=\"150\"/><text x=\"{}\" y=\"590\">{name}</text>",
                x + 220
            ),
        );
        x += 1600;
    }
}

fn axes(out: &mut String, scale: Scale) {
    let time = TIMES
        .iter()
        .copied()
        .find(|step| scale.end / step <= 8)
        .unwrap_or(scale.end);
    for at in (0..=scale.end).step_by(usize::try_from(time).unwrap_or(usize::MAX).max(1)) {
        let x = scale.x(at);
        put(
            out,
            format_args!(
                "<line class=\"axis\" x1=\"{x}\" y1=\"{BOTTOM}\" x2=\"{x}\" y2=\"{}\"/><text class=\"middle\" x=\"{x}\" y=\"{}\">{}</text>",
                BOTTOM + 60,
                BOTTOM + 220,
                spoken(at)
            ),
        );
    }
    let step = (0..).flat_map(|power| [1, 2, 5].map(|digit| digit * 10_i64.saturating_pow(power)));
    let step = step
        .take(60)
        .find(|step| scale.nodes / step <= 5)
        .unwrap_or(scale.nodes);
    for nodes in (0..=scale.nodes).step_by(usize::try_from(step).unwrap_or(usize::MAX).max(1)) {
        let y = scale.y(nodes);
        put(
            out,
            format_args!(
                "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{y}\" x2=\"{RIGHT}\" y2=\"{y}\"/><text class=\"end\" x=\"{}\" y=\"{}\">{nodes}</text>",
                LEFT - 80,
                y + 45
            ),
        );
    }
    let middle = i64::midpoint(LEFT, RIGHT);
    put(
        out,
        format_args!(
            "<line class=\"axis\" x1=\"{LEFT}\" y1=\"{BOTTOM}\" x2=\"{RIGHT}\" y2=\"{BOTTOM}\"/>\n\
         <line class=\"axis\" x1=\"{LEFT}\" y1=\"{TOP}\" x2=\"{LEFT}\" y2=\"{BOTTOM}\"/>\n\
         <text class=\"middle\" x=\"{middle}\" y=\"{}\">time since the rollout began</text>\n\
         <text class=\"middle\" transform=\"translate(170 {}) rotate(-90)\">nodes</text>",
            BOTTOM + 500,
            i64::midpoint(TOP, BOTTOM)
        ),
    );
}
