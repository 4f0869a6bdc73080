//! `fake`: a host in memory, for tests: it obeys the same contract as the real ones.
