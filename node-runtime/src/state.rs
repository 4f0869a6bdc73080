//! `state`: what a container may be asked in each state, and what follows. Pure.
