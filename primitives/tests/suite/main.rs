//! What `blyan_primitives` shows to others, in one program: what the tests share is compiled once.

mod delta;
mod draw;
mod evidence;
mod golden;
mod hash;
mod model;
mod multiproof;
mod ownership;
mod pow;
mod recipe;
mod record;
mod roles;
mod sampling;
mod support;
mod tensor;
mod trace;
mod transfer;
mod tree;
mod update;
mod vectors;
