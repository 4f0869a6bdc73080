//! `keeper`: the process that holds a container, and how it is asked.
