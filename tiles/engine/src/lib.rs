//! The engine: trains, measures and runs models whose master weights are integers.
//!
//! # Overview
//!
//! Consensus knows integers only. This crate is where floats live: it turns master weights into
//! floats, trains them, and hands back integer increments. [`Recipe`] is the only door to what
//! consensus depends on, and no float passes through it.
//!
//! | module | what |
//! |---|---|
//! | [`recipe`] | [`Recipe`] and [`FloatRecipe`]: train, measure, generate |
//! | [`weights`] | [`Weights`]: the master integers of a model |
//! | [`state`] | [`State`]: weights and optimiser in the middle of training, its root and its file |
//! | [`delta`] | increments to compressed deltas, deltas to merged weights |
//! | [`low_rank`] | increments of a matrix to a product of two thin ones |
//! | [`mapped`] | [`Mapped`]: a model that is run from its tile files, and [`Model`]: what is run |
//! | [`payload`] | tile files as tensors, without a copy, or in one buffer of a card |
//! | [`product`] | products of matrices that are larger than memory |
//! | [`burnpack`] | weights to files of burn's own format |
//! | [`batch`] | windows of bytes cut out of records |
//! | [`device`] | [`Device`]: where tensors live |
//! | [`executable`] | [`Runner`]: executable experts in an ONNX runtime, beside the engine |
//! | [`demo`] | a small architecture and recipe for demonstrations and tests |
//!
//! Inside, `network` is the model as tensors, `routing` the choice of experts, and `optimiser` the
//! rule that moves weights.
//!
//! # The model
//!
//! A decoder over bytes, with the components and tensors of `blyan_primitives::model`. Matrices are
//! `[out, in]` and act as `x · Wᵀ`. For the tokens of a window at positions `0..length`:
//!
//! ```text
//! x      = token[byte] + position[place]
//! for each layer:
//!   h    = rms(x) · gain(attn)
//!   x   += (softmax(mask(h·Wqᵀ (h·Wkᵀ)ᵀ / √(d/heads))) · h·Wvᵀ) · Woᵀ      for each head
//!   h    = rms(x) · gain(router);   l = h · routerᵀ
//!   pick two experts a, b by the largest l + bias, ties to the lower index
//!   x   += softmax(l_a, l_b) · (relu(h·W1ᵀ)² · W2ᵀ)   of a and b
//! logits = rms(x) · gain(head) · headᵀ
//! ```
//!
//! with `rms(x) = x / √(mean(x²) + 10⁻⁶)`. The loss is the mean cross-entropy of the next byte, in
//! nats. The selection bias only picks; gates do not see it. It is not trained by gradient but moved
//! after each step against the load, see [`recipe`].
//!
//! # Invariants
//!
//! - On one machine, with one build, the same weights, state and batches give the same bits on the
//!   processor: kernels split work over outputs and never over a sum (but for a loss over 4 million
//!   bytes or more). Other machines sum in another order, and on graphics cards even two runs do.
//!   That is about 10⁻⁷ a step, until a token near the border of two experts goes to the other one:
//!   from there on runs drift apart, the further the more steps there are. The recipe's tolerance
//!   must leave room for it, so longer rounds need a larger one.
//! - Padding between tensors begins as zero, and training and low-rank deltas leave it alone. Chunks
//!   of somebody else's delta may move it; no tensor holds it, so no model computes with it.
//! - Merging and applying deltas is integer arithmetic of `blyan_primitives::delta`, so its bits
//!   are the same everywhere.
//!
//! # Example
//!
//! ```
//! use blyan_engine::{demo, Device, FloatRecipe, Recipe};
//! use blyan_primitives::H256;
//!
//! # fn main() -> blyan_engine::Result<()> {
//! # #[cfg(feature = "flex")] {
//! let recipe = FloatRecipe::new(demo::RECIPE, Device::named("cpu")?)?;
//! let weights = recipe.initialise(&demo::ARCHITECTURE, H256([1; 32]))?;
//! let text = recipe.generate(&weights, b"Once", 4, 800, H256([2; 32]))?;
//! assert_eq!(text.len(), 4);
//! # }
//! # Ok(())
//! # }
//! ```

#![deny(missing_docs)]

pub mod batch;
pub mod burnpack;
mod container;
pub mod delta;
pub mod demo;
pub mod device;
mod error;
pub mod executable;
mod layout;
pub mod low_rank;
pub mod mapped;
mod network;
mod optimiser;
pub mod payload;
pub mod product;
pub mod recipe;
mod routing;
pub mod state;
mod vectors;
pub mod weights;

pub use batch::Batch;
pub use device::Device;
pub use error::{Error, Result};
pub use executable::Runner;
pub use mapped::{Mapped, Model};
pub use recipe::{FloatRecipe, Recipe, StepReport};
pub use state::State;
pub use weights::Weights;
