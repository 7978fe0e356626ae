//! The master integers of a model.

use crate::{layout::Layout, Error, Result};
use blyan_primitives::{
	model::{initial_weights, Architecture},
	tensor::FRACTION_BITS,
	H256,
};
use blyan_tiles::{hashing, Store};

/// Fixed-point one.
pub(crate) const ONE: f64 = (1u64 << FRACTION_BITS) as f64;

/// The weights of a model: one component after the other, each in units of 2^−24 and with the
/// padding of its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weights {
	architecture: Architecture,
	components: Vec<Vec<i32>>,
}

impl Weights {
	/// Weights of this architecture. Fails if a component is missing or has the wrong length.
	pub fn new(architecture: &Architecture, components: Vec<Vec<i32>>) -> Result<Self> {
		Layout::new(architecture)?.check("weights", components.iter().map(Vec::len))?;
		Ok(Self { architecture: *architecture, components })
	}

	/// The first weights of a model with this seed.
	pub fn initial(architecture: &Architecture, seed: H256) -> Result<Self> {
		let count = Layout::new(architecture)?.components().len();
		let components =
			(0..count).map(|component| initial_weights(architecture, seed, component)).collect();
		Self::new(architecture, components)
	}

	/// Reads a snapshot from a store, and checks it against the roots of its components if they are
	/// given.
	pub fn load(
		store: &Store,
		model: u32,
		snapshot: u32,
		architecture: &Architecture,
		roots: Option<&[H256]>,
	) -> Result<Self> {
		let layout = Layout::new(architecture)?;
		let expected = layout.components().len();
		if let Some(found) = roots.map(<[H256]>::len).filter(|found| *found != expected) {
			return Err(Error::Components { expected, found });
		}
		let mut components = Vec::with_capacity(expected);
		for (place, component) in layout.components().iter().enumerate() {
			let file = store.read(model, snapshot, &component.name)?;
			// Without a root from elsewhere the header's at least finds damage.
			let root = roots.map_or(file.root(), |roots| roots[place]);
			file.verify(&root)?;
			components.push(file.weights()?.to_vec());
		}
		Self::new(architecture, components)
	}

	/// Writes all components to a store and returns their roots.
	pub fn save(&self, store: &Store, model: u32, snapshot: u32) -> Result<Vec<H256>> {
		let layout = Layout::new(&self.architecture)?;
		let components = layout.components().iter().zip(&self.components);
		components
			.map(|(component, weights)| {
				store.write(model, snapshot, &component.name, weights).map_err(Error::from)
			})
			.collect()
	}

	/// The dimensions of the model.
	pub fn architecture(&self) -> &Architecture {
		&self.architecture
	}

	/// All components in order, each with its padding.
	pub fn components(&self) -> &[Vec<i32>] {
		&self.components
	}

	/// The payload of a component, as it is stored and hashed.
	pub fn payload(&self, component: usize) -> Result<&[u8]> {
		let weights = self
			.components
			.get(component)
			.ok_or(Error::NoComponent { component, count: self.components.len() })?;
		Ok(bytemuck::cast_slice(weights))
	}

	/// The root of each component, in order: what the chain knows a snapshot by.
	pub fn roots(&self) -> Vec<H256> {
		self.components
			.iter()
			.map(|weights| {
				hashing::root_of_weights(weights).expect("a component has at least one weight")
			})
			.collect()
	}

	/// These weights moved by `increments`, in units of 2^−24, one for each weight. What leaves the
	/// range of 32 bits stays at its end, as on chain.
	pub fn moved(&self, increments: &[Vec<i32>]) -> Result<Self> {
		Layout::new(&self.architecture)?.check("increments", increments.iter().map(Vec::len))?;
		let components = self
			.components
			.iter()
			.zip(increments)
			.map(|(weights, increments)| {
				weights.iter().zip(increments).map(|(w, inc)| w.saturating_add(*inc)).collect()
			})
			.collect();
		Ok(Self { architecture: self.architecture, components })
	}

	/// The weights as floats: exact below one, else rounded to 24 significant bits.
	pub(crate) fn floats(&self) -> Vec<Vec<f32>> {
		self.floats_by_component().collect()
	}

	/// The same, one component after the other, so that not all need be held at once.
	pub(crate) fn floats_by_component(&self) -> impl Iterator<Item = Vec<f32>> + '_ {
		self.components.iter().map(|weights| weights.iter().map(|w| float(*w)).collect())
	}
}

/// The float that stands for a master weight.
pub(crate) fn float(weight: i32) -> f32 {
	// One rounding: the division by a power of two is exact.
	(f64::from(weight) / ONE) as f32
}

/// How far `to` is from `from`, in units of 2^−24, rounded half to even. Zero if they are equal.
pub(crate) fn increment(from: f32, to: f32) -> i32 {
	// Both are floats, so their difference and its multiple are exact enough in f64 to round once;
	// the cast clamps.
	((f64::from(to) - f64::from(from)) * ONE).round_ties_even() as i32
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::demo;

	fn tiny() -> Architecture {
		Architecture {
			d_model: 16,
			layers: 1,
			heads: 2,
			context: 8,
			experts: 2,
			d_ff: 24,
			..demo::ARCHITECTURE
		}
	}

	#[test]
	fn floats_stand_for_their_integers() {
		assert_eq!(float(1 << 24), 1.0);
		assert_eq!(float(-(1 << 23)), -0.5);
		assert_eq!(float(1), 2f32.powi(-24));
		assert_eq!(float(i32::MIN), -128.0);
		// Between two and four, floats are four units apart.
		assert_eq!(float((1 << 25) + 1), 2.0);
	}

	#[test]
	fn increments_are_rounded_differences() {
		assert_eq!(increment(0.25, 0.25), 0);
		assert_eq!(increment(0.0, 2f32.powi(-24)), 1);
		assert_eq!(increment(0.0, 2f32.powi(-25)), 0);
		assert_eq!(increment(0.0, 3.0 * 2f32.powi(-25)), 2);
		assert_eq!(increment(1.0, 0.5), -(1 << 23));
		assert_eq!(increment(0.0, 1e30), i32::MAX);
	}

	#[test]
	fn wrong_numbers_of_components_and_weights_are_refused() {
		let weights = Weights::initial(&tiny(), H256([1; 32])).unwrap();
		let mut components = weights.components().to_vec();
		components[3].push(0);
		let longer = Weights::new(&tiny(), components.clone());
		assert!(matches!(longer, Err(Error::Length { component: 3, unit: "weights", .. })));
		components.pop();
		assert!(matches!(Weights::new(&tiny(), components), Err(Error::Components { .. })));
		let moved = weights.moved(&[vec![0]]);
		assert!(matches!(moved, Err(Error::Components { found: 1, .. })));
		let impossible = Architecture { heads: 3, ..tiny() };
		let refused = Weights::initial(&impossible, H256([1; 32]));
		assert!(matches!(refused, Err(Error::Architecture(_))));
		assert!(matches!(weights.payload(99), Err(Error::NoComponent { component: 99, .. })));
	}

	#[test]
	fn moving_stops_at_the_ends_of_the_range() {
		let weights = Weights::initial(&tiny(), H256([1; 32])).unwrap();
		let by = |increment: i32| -> Vec<Vec<i32>> {
			weights.components().iter().map(|weights| vec![increment; weights.len()]).collect()
		};
		assert_eq!(weights.moved(&by(0)).unwrap(), weights);
		// Gains are one, and nothing is beyond it.
		let largest = weights.moved(&by(i32::MAX)).unwrap();
		assert_eq!(largest.components()[1][0], i32::MAX);
	}

	#[test]
	fn snapshot_comes_back_from_a_store_if_its_roots_are_right() {
		let folder = tempfile::tempdir().unwrap();
		let store = Store::open(folder.path()).unwrap();
		let weights = Weights::initial(&tiny(), H256([1; 32])).unwrap();
		let roots = weights.save(&store, 3, 0).unwrap();

		assert_eq!(roots, weights.roots());
		assert_eq!(Weights::load(&store, 3, 0, &tiny(), None).unwrap(), weights);
		assert_eq!(Weights::load(&store, 3, 0, &tiny(), Some(&roots)).unwrap(), weights);
		let mut other = roots.clone();
		other[2] = H256::zero();
		let refused = Weights::load(&store, 3, 0, &tiny(), Some(&other));
		assert!(matches!(refused, Err(Error::Tile(blyan_tiles::Error::Root { .. }))));
		assert!(Weights::load(&store, 3, 0, &tiny(), Some(&roots[1..])).is_err());
		assert!(Weights::load(&store, 3, 1, &tiny(), None).is_err());
	}
}
