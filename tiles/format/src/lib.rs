#![doc = include_str!("../README.md")]
//!
//! # Modules
//!
//! | module | what |
//! |---|---|
//! | [`atomic`] | files that are either the old ones or the new ones, whatever happens |
//! | [`convert`] | weights from one element type to another |
//! | [`executable`] | [`Executable`]: an ONNX graph whose weights are those of another file |
//! | [`mod@file`] | [`TileFile`]: create, map, read, verify and update one file |
//! | [`hashing`] | leaf hashes and roots on all cores |
//! | [`interchange`] | weights in the formats of others, and back |
//! | [`staging`] | folders that are whole or absent |
//! | [`store`] | [`Store`]: which file holds which component of which snapshot |
//! | [`stream`] | [`VerifiedReader`]: leaves from somebody else, verified as they come |
//! | [`tile_stream`] | [`TileStream`]: compressed leaf by leaf, for components larger than memory |
//! | `primitives` | the formats: the header in `tensor`, the tree in `tree`, deltas in `delta` |

#![deny(missing_docs)]

// Weights are mapped, not decoded: their bytes in memory are those of the file.
#[cfg(target_endian = "big")]
compile_error!("tile files are little-endian and are mapped without conversion");

pub mod atomic;
pub mod convert;
mod error;
pub mod executable;
pub mod file;
pub mod hashing;
pub mod interchange;
pub mod staging;
pub mod store;
pub mod stream;
pub mod tile_stream;

/// The formats, in the version that this crate uses.
pub use blyan_primitives as primitives;
pub use error::{Error, Result};
pub use executable::Executable;
pub use file::TileFile;
pub use store::Store;
pub use stream::{LeafHashes, VerifiedReader};
pub use tile_stream::{TileStream, TileStreamWriter};
