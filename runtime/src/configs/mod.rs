//! The pallets' configuration, by theme.

mod consensus;
mod learning;
mod money;
mod system;
