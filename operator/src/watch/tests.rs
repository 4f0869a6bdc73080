//! The laws of the watch loop, against scripted responses.
