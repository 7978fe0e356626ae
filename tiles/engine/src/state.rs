//! Weights and optimiser in the middle of training.
//!
//! # Root
//!
//! The state of a component is the `f32` bits, little-endian, of its weights, then of its first
//! moments, then of its second moments, each with the padding of the payload. It is hashed like any
//! payload, in leaves of 256 KiB. The *state root* is the list root over the components in order. So
//! a verifier can fetch a state leaf by leaf and check each on arrival.
//!
//! # File
//!
//! The magic is `BLYSTAT`; then follow version, architecture, the number of steps done, the length
//! and the state root in a header of 64 bytes, and the bytes of each component.

use crate::{
	container::{self, number, Kind},
	layout::Layout,
	weights::{increment, Weights},
	Error, Result,
};
use blyan_primitives::{model::Architecture, H256};
use std::path::Path;

/// Values that are kept for each weight: itself and two moments.
const PARTS: usize = 3;
/// Bytes of a value.
const VALUE_BYTES: usize = 4;
/// The file of a state.
const FILE: Kind =
	Kind { magic: *b"BLYSTAT", name: "training state", bytes_per_weight: PARTS * VALUE_BYTES };

/// Where training stands. What it holds are floats, so others see it as bytes and roots only.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
	pub(crate) architecture: Architecture,
	pub(crate) step: u32,
	pub(crate) weights: Vec<Vec<f32>>,
	pub(crate) first: Vec<Vec<f32>>,
	pub(crate) second: Vec<Vec<f32>>,
}

impl State {
	/// The state before the first step.
	pub fn start(base: &Weights) -> Self {
		let zeros = || base.components().iter().map(|weights| vec![0.0; weights.len()]).collect();
		Self {
			architecture: *base.architecture(),
			step: 0,
			weights: base.floats(),
			first: zeros(),
			second: zeros(),
		}
	}

	/// The dimensions of the model.
	pub fn architecture(&self) -> &Architecture {
		&self.architecture
	}

	/// Steps done, which is the number of the next step.
	pub fn step(&self) -> u32 {
		self.step
	}

	/// Number of components.
	pub fn component_count(&self) -> usize {
		self.weights.len()
	}

	/// The bytes of a component's state, as they are hashed and sent.
	pub fn component(&self, component: usize) -> Result<Vec<u8>> {
		let count = self.component_count();
		if component >= count {
			return Err(Error::NoComponent { component, count });
		}
		Ok(self.component_bytes(component))
	}

	/// The root of each component's state, in order.
	pub fn roots(&self) -> Vec<H256> {
		(0..self.component_count())
			.map(|component| container::component_root(&self.component_bytes(component)))
			.collect()
	}

	/// The state root.
	pub fn root(&self) -> H256 {
		container::root(&self.roots())
	}

	/// The state after `step` steps whose components have these bytes.
	pub fn from_components(
		architecture: &Architecture,
		step: u32,
		components: &[Vec<u8>],
	) -> Result<Self> {
		let layout = Layout::new(architecture)?;
		let expected = layout.components().len();
		if components.len() != expected {
			return Err(Error::Components { expected, found: components.len() });
		}
		for (component, bytes) in components.iter().enumerate() {
			let (expected, found) = (FILE.length(&layout, component), bytes.len());
			if expected != found {
				return Err(Error::Length { component, expected, found, unit: "bytes of state" });
			}
		}
		Ok(Self::decode(*architecture, step, components))
	}

	/// How far the weights are from those of `base`, in units of 2^−24, for each component.
	pub fn increments(&self, base: &Weights) -> Result<Vec<Vec<i32>>> {
		self.check_model(base.architecture(), "the base")?;
		let starts = base.floats();
		let components = starts.iter().zip(&self.weights);
		Ok(components
			.map(|(from, to)| from.iter().zip(to).map(|(f, t)| increment(*f, *t)).collect())
			.collect())
	}

	/// How far the weights are from those of `other`, for each component, as L2 norm relative to how
	/// far these are from `base`, in 10^−6. Where these are at the base, any distance counts as the
	/// largest number.
	pub fn distance_ppm(&self, other: &Self, base: &Weights) -> Result<Vec<u32>> {
		self.check_model(base.architecture(), "the base")?;
		self.check_model(&other.architecture, "the other state")?;
		let norm = |a: &[f32], b: &[f32]| {
			a.iter()
				.zip(b)
				.map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2))
				.sum::<f64>()
				.sqrt()
		};
		let starts = base.floats();
		let triples = self.weights.iter().zip(&other.weights).zip(&starts);
		Ok(triples
			.map(|((own, other), start)| {
				let apart = norm(own, other);
				if apart == 0.0 {
					return 0;
				}
				// The cast clamps, and turns what is no number into zero: that must not pass.
				match (apart / norm(own, start) * 1e6).ceil() {
					ppm if ppm.is_nan() => u32::MAX,
					ppm => ppm as u32,
				}
			})
			.collect())
	}

	/// Writes the state to a file, atomically.
	pub fn save(&self, path: &Path) -> Result<()> {
		FILE.save(path, &self.architecture, self.step, &|c| self.component_bytes(c))
	}

	/// Reads a state from a file and checks that nothing in it was damaged, but for the number of
	/// steps, which the root does not commit to.
	pub fn load(path: &Path) -> Result<Self> {
		let contents = FILE.load(path)?;
		Ok(Self::decode(contents.architecture, contents.number, &contents.components))
	}

	/// Fails unless the state has this root.
	pub fn verify(&self, expected: &H256) -> Result<()> {
		let found = self.root();
		if found == *expected {
			Ok(())
		} else {
			Err(Error::Root { expected: *expected, found })
		}
	}

	/// Fails unless `architecture` is that of this state.
	pub(crate) fn check_model(
		&self,
		architecture: &Architecture,
		what: &'static str,
	) -> Result<()> {
		if self.architecture == *architecture {
			Ok(())
		} else {
			Err(Error::OtherModel { what })
		}
	}

	/// Whether every weight is a finite number.
	pub(crate) fn is_finite(&self) -> bool {
		self.weights.iter().flatten().all(|weight| weight.is_finite())
	}

	fn component_bytes(&self, component: usize) -> Vec<u8> {
		let parts = [&self.weights, &self.first, &self.second];
		let mut bytes = Vec::with_capacity(PARTS * VALUE_BYTES * self.weights[component].len());
		for part in parts {
			// Little-endian, as the crate of tile files insists.
			bytes.extend_from_slice(bytemuck::cast_slice(&part[component]));
		}
		bytes
	}

	/// The state in components whose number and lengths were checked.
	fn decode(architecture: Architecture, step: u32, components: &[Vec<u8>]) -> Self {
		let part = |place: usize| -> Vec<Vec<f32>> {
			let values = components.iter().map(|bytes| {
				let length = bytes.len() / PARTS;
				decode_values(&bytes[place * length..(place + 1) * length])
			});
			values.collect()
		};
		Self { architecture, step, weights: part(0), first: part(1), second: part(2) }
	}
}

fn decode_values(bytes: &[u8]) -> Vec<f32> {
	bytes.chunks_exact(VALUE_BYTES).map(|value| f32::from_bits(number(value) as u32)).collect()
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::{
		container::{HEADER_BYTES, NUMBER_OFFSET},
		demo,
	};
	use blyan_tiles::hashing;
	use std::fs;

	fn tiny() -> Architecture {
		Architecture {
			d_model: 8,
			layers: 1,
			heads: 2,
			context: 8,
			experts: 2,
			d_ff: 16,
			..demo::ARCHITECTURE
		}
	}

	/// A state that was not trained, but whose values all differ.
	fn state() -> State {
		let base = Weights::initial(&tiny(), H256([1; 32])).unwrap();
		let mut state = State::start(&base);
		state.step = 7;
		for (component, moments) in state.second.iter_mut().enumerate() {
			for (place, moment) in moments.iter_mut().enumerate() {
				*moment = (component * 10_000 + place) as f32;
			}
		}
		state
	}

	#[test]
	fn state_comes_back_from_a_file_and_from_its_components() {
		let folder = tempfile::tempdir().unwrap();
		let path = folder.path().join("checkpoints/7.state");
		let state = state();
		state.save(&path).unwrap();
		assert_eq!(State::load(&path).unwrap(), state);

		let components: Vec<Vec<u8>> =
			(0..state.component_count()).map(|c| state.component(c).unwrap()).collect();
		let again = State::from_components(&tiny(), 7, &components).unwrap();
		assert_eq!(again, state);
		assert!(again.verify(&state.root()).is_ok());
		let short = State::from_components(&tiny(), 7, &components[1..]);
		assert!(matches!(short, Err(Error::Components { .. })));
		let mut cut = components;
		cut[1].pop();
		let cut = State::from_components(&tiny(), 7, &cut);
		assert!(matches!(cut, Err(Error::Length { component: 1, .. })));
		assert!(state.component(99).is_err());
	}

	#[test]
	fn root_commits_to_weights_and_both_moments() {
		let state = state();
		let mut others = [state.clone(), state.clone(), state.clone()];
		others[0].weights[1][0] += 1.0;
		others[1].first[1][0] = -0.0;
		others[2].second[1][0] += 1.0;
		for other in others {
			assert_ne!(other.root(), state.root());
			assert!(matches!(state.verify(&other.root()), Err(Error::Root { .. })));
		}
		let component = hashing::root_of(&state.component(0).unwrap()).unwrap();
		assert_eq!(state.roots()[0], component);
	}

	#[test]
	fn file_that_is_cut_off_or_damaged_is_refused() {
		let folder = tempfile::tempdir().unwrap();
		let path = folder.path().join("state");
		state().save(&path).unwrap();
		let whole = fs::read(&path).unwrap();

		for length in (0..=HEADER_BYTES).chain([whole.len() / 2, whole.len() - 1]) {
			fs::write(&path, &whole[..length]).unwrap();
			assert!(matches!(State::load(&path), Err(Error::File { .. })), "{length}");
		}
		let mut longer = whole.clone();
		longer.push(0);
		fs::write(&path, &longer).unwrap();
		assert!(matches!(State::load(&path), Err(Error::File { .. })));

		// The number of steps is all that the root does not commit to.
		let step = NUMBER_OFFSET..NUMBER_OFFSET + 4;
		let header = (0..HEADER_BYTES).filter(|offset| !step.contains(offset));
		for offset in header.chain((HEADER_BYTES..whole.len()).step_by(997)) {
			let mut damaged = whole.clone();
			damaged[offset] ^= 1;
			fs::write(&path, &damaged).unwrap();
			assert!(State::load(&path).is_err(), "{offset}");
		}
		assert!(matches!(State::load(&folder.path().join("no")), Err(Error::Read { .. })));
	}

	#[test]
	fn distance_is_relative_to_the_way_from_the_base() {
		let base = Weights::initial(&tiny(), H256([1; 32])).unwrap();
		let start = State::start(&base);
		let mut own = start.clone();
		own.weights[0][0] += 0.5;
		let mut other = own.clone();
		assert!(own.distance_ppm(&other, &base).unwrap().iter().all(|ppm| *ppm == 0));
		other.weights[0][1] += 0.25;
		other.weights[1][5] += 0.25;
		let distances = own.distance_ppm(&other, &base).unwrap();
		assert!((499_000..=501_000).contains(&distances[0]), "{}", distances[0]);
		assert_eq!(distances[1], u32::MAX);
		assert_eq!(distances[2], 0);
	}

	#[test]
	fn start_has_no_increments() {
		let base = Weights::initial(&tiny(), H256([1; 32])).unwrap();
		let increments = State::start(&base).increments(&base).unwrap();
		assert!(increments.iter().flatten().all(|increment| *increment == 0));
		let wider = Architecture { d_ff: 32, ..tiny() };
		let other = Weights::initial(&wider, H256([1; 32])).unwrap();
		let refused = State::start(&base).increments(&other);
		assert!(matches!(refused, Err(Error::OtherModel { .. })));
	}
}
