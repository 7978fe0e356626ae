//! What several tests need: naive versions to compare with, candidates, hostile input, readers of vectors.

pub mod candidates;
pub mod chunks;
pub mod delta;
pub mod encoder;
pub mod hostile;
pub mod json;
pub mod oracle;
