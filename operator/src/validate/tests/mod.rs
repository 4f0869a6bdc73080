//! Every rule, broken once.
