//! Windows: job objects. The only unsafe code of the project.
