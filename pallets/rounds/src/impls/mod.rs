//! Bodies of the calls, the phase machine, and answers to others, by what they are about.

mod answers;
mod ending;
mod evaluating;
#[cfg(any(feature = "try-runtime", feature = "std"))]
mod invariants;
mod merging;
mod opening;
mod phases;
