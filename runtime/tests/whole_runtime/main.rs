//! The whole runtime, driven by blocks of real extrinsics. One program: each one more has the runtime
//! linked into it once more.

mod earning;
mod genesis;
mod holds;
mod invariants;
mod issuance;
mod support;
mod uploads;
mod weights;
