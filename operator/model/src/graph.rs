//! Liveness by walking backwards: from every state that was reached, a state at rest must be reachable by what happens by
//! itself. The checker's own `eventually` does not see cycles.

use std::collections::HashMap;

/// What is known of a state.
#[derive(Clone, Copy, Debug, Default)]
struct Vertex {
    /// Whether all its steps were taken.
    explored: bool,
    /// Whether the world is at rest in it, and the task at its end.
    at_its_end: bool,
}

/// The states that were reached, by fingerprint, and the steps between them that happen by themselves.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    vertices: HashMap<u64, Vertex>,
    steps: Vec<(u64, u64)>,
}

impl Graph {
    pub(crate) fn visit(&mut self, state: u64, at_its_end: bool) {
        let explored = true;
        self.vertices.insert(
            state,
            Vertex {
                explored,
                at_its_end,
            },
        );
    }

    pub(crate) fn step(&mut self, from: u64, to: u64) {
        self.vertices.entry(to).or_default();
        self.steps.push((from, to));
    }

    pub(crate) fn ends(&self) -> usize {
        self.vertices.values().filter(|it| it.at_its_end).count()
    }

    /// States from which no end can be reached any more. What was not explored may lead anywhere.
    pub(crate) fn stuck(&self) -> Vec<u64> {
        let numbers: HashMap<u64, u32> = self.vertices.keys().copied().zip(0..).collect();
        let mut steps: Vec<(u32, u32)> = self
            .steps
            .iter()
            .map(|(from, to)| (numbers[to], numbers[from]))
            .collect();
        steps.sort_unstable();
        steps.dedup();
        let mut alive = vec![false; numbers.len()];
        let mut open: Vec<u32> = Vec::new();
        for (state, vertex) in &self.vertices {
            if vertex.at_its_end || !vertex.explored {
                let number = numbers[state];
                alive[usize::try_from(number).unwrap()] = true;
                open.push(number);
            }
        }
        while let Some(state) = open.pop() {
            let first = steps.partition_point(|(to, _)| *to < state);
            for (_, from) in steps[first..].iter().take_while(|(to, _)| *to == state) {
                let known = &mut alive[usize::try_from(*from).unwrap()];
                if !std::mem::replace(known, true) {
                    open.push(*from);
                }
            }
        }
        let stuck = numbers.into_iter();
        stuck
            .filter(|(_, number)| !alive[usize::try_from(*number).unwrap()])
            .map(|(state, _)| state)
            .collect()
    }
}
