//! What must hold for every input of the decoders and verifiers.
//!
//! Each function of [`TARGETS`] takes any bytes and panics if something does not hold. None asks for
//! no panic only:
//!
//! - *Decoders*: what they accept encodes to the very bytes that were given, and keeps the limits that
//!   its documentation names. Of weights in the formats of others, each tensor is as a naive reader
//!   finds it; what is no block of several values encodes to its bytes.
//! - *Verifiers*: they accept a claim if and only if it is the genuine one, whatever was changed about
//!   the leaf, its place, the size, the root or the proof.
//! - *What reads text*: it finds the same in whatever pieces the text comes, keeps its limits, and
//!   names places that are there.
//!
//! Where random bytes would never get past a hash, the input is a mask that is laid over something
//! genuine, so that the empty input is the genuine thing itself.
//!
//! | module | targets |
//! |---|---|
//! | [`tree`] | `tree_proof`, `tile_proof`, `multiproof` |
//! | [`stream`] | `verified_reader` |
//! | [`mod@file`] | `header`, `tile_file`, `tile_stream`, `delta_file`, `eeb` |
//! | [`delta`] | `delta_leaf`, `delta_blob`, `low_rank` |
//! | [`data`] | `record`, `shard`, `manifest` |
//! | [`text`] | `prepare`, `audit` |
//! | [`interchange`] | `gguf`, `safetensors`, `burnpack`, `components` |
//! | [`mod@transfer`] | `transfer` |
//! | [`rounds`] | `architecture`, `recipe`, `trace`, `trace_evidence`, `update` |
//!
//! `scripts/fuzz.sh` runs them with libFuzzer. The tests run them over the kept inputs in `corpus/`
//! and over mutations of these, without it.

#![deny(missing_docs)]

pub mod data;
pub mod delta;
pub mod file;
mod input;
pub mod interchange;
mod naive;
pub mod rounds;
pub mod stream;
pub mod text;
pub mod transfer;
pub mod tree;

/// A property of all inputs.
pub type Target = fn(&[u8]);

/// Every target, by the name of its binary and of the folder of its inputs.
pub const TARGETS: [(&str, Target); 27] = [
	("architecture", rounds::architecture),
	("audit", text::audit),
	("burnpack", interchange::burnpack),
	("components", interchange::components),
	("delta_blob", delta::delta_blob),
	("delta_file", file::delta_file),
	("delta_leaf", delta::delta_leaf),
	("eeb", file::eeb),
	("gguf", interchange::gguf),
	("header", file::header),
	("low_rank", delta::low_rank),
	("manifest", data::manifest),
	("multiproof", tree::multiproof),
	("prepare", text::prepare),
	("recipe", rounds::recipe),
	("record", data::record),
	("safetensors", interchange::safetensors),
	("shard", data::shard),
	("tile_file", file::tile_file),
	("tile_proof", tree::tile_proof),
	("tile_stream", file::tile_stream),
	("trace", rounds::trace),
	("trace_evidence", rounds::trace_evidence),
	("transfer", transfer::transfer),
	("tree_proof", tree::tree_proof),
	("update", rounds::update),
	("verified_reader", stream::verified_reader),
];
