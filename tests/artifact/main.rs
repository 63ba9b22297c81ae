//! Artifacts: damaged ones, those of others, and what tools make of them.
