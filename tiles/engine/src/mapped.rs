//! A model that is run from its tile files.
//!
//! # Overview
//!
//! [`Mapped`] is a model whose components are mapped files. Its integers are never held in memory:
//! the tensors that it computes with are made of the mappings, component by component, by
//! [`Payload`](crate::payload::Payload). [`Model`] is what measuring and generating take: such a
//! model, or [`Weights`], which whoever trains, merges or moves weights needs.
//!
//! Files of master weights give the bits of the same weights in memory. Components of other element
//! types, as `blyan_tiles::interchange::components` writes them, are run as well, on every device
//! that computes with the type: `wgpu` does neither with `i8` nor with `bf16`, see
//! [`payload`](crate::payload). The type may differ from component to component.
//!
//! # Memory
//!
//! Bytes for each weight, on the processor, as they follow from what is copied where. Activations
//! come on top. Pages of a mapping are none of it: the system takes them back when it needs them.
//!
//! | from | bytes | what they are |
//! |---|---|---|
//! | files of `f32` | 0 | the tensors are the mappings |
//! | other files | 4 | the floats; with `i8` one more for the tensor that is being scaled |
//! | [`Weights`] | 8 | the integers and the floats |
//!
//! With a card the floats are in its memory, and for a moment the numbers of one component beside
//! them; files then take nothing but what the driver uploads by way of.
//!
//! Training copies the weights of its [`State`](crate::State) into tensors in each step. Tensors of
//! burn 0.22 own what they hold (`Tensor::from_data` takes a `TensorData`, which cannot borrow), and
//! the optimiser changes the state on the processor.
//!
//! ```
//! use blyan_engine::{demo, Device, FloatRecipe, Mapped, Recipe};
//! use blyan_primitives::H256;
//! use blyan_tiles::Store;
//!
//! # fn main() -> blyan_engine::Result<()> {
//! # #[cfg(feature = "flex")] {
//! # let folder = tempfile::tempdir().expect("a folder");
//! let recipe = FloatRecipe::new(demo::RECIPE, Device::named("cpu")?)?;
//! let weights = recipe.initialise(&demo::ARCHITECTURE, H256([1; 32]))?;
//! let store = Store::open(folder.path())?;
//! let roots = weights.save(&store, 0, 0)?;
//!
//! let mut files = Vec::new();
//! for (component, root) in demo::ARCHITECTURE.components().iter().zip(&roots) {
//!     files.push(store.read_verified(0, 0, &component.name, root)?);
//! }
//! let mapped = Mapped::new(&demo::ARCHITECTURE, files)?;
//! let seed = H256([2; 32]);
//! let text = recipe.generate(&mapped, b"Once", 2, 800, seed)?;
//! assert_eq!(text, recipe.generate(&weights, b"Once", 2, 800, seed)?);
//! # }
//! # Ok(())
//! # }
//! ```

use crate::{layout::Layout, network::Network, Device, Error, Result, Weights};
use blyan_primitives::model::Architecture;
use blyan_tiles::TileFile;
use std::sync::Arc;

/// A model as tile files.
#[derive(Clone, Debug)]
pub struct Mapped {
	architecture: Architecture,
	files: Vec<Arc<TileFile>>,
}

impl Mapped {
	/// The model of this architecture whose components these files hold, in order. The caller has
	/// verified their roots.
	///
	/// Fails if a component is missing, or if one of master weights has the wrong length; of other
	/// element types that shows when the model is run, and so does whether the device has the type.
	pub fn new(architecture: &Architecture, files: Vec<TileFile>) -> Result<Self> {
		let layout = Layout::new(architecture)?;
		let (expected, found) = (layout.components().len(), files.len());
		if expected != found {
			return Err(Error::Components { expected, found });
		}
		for (component, file) in files.iter().enumerate() {
			let Ok(weights) = file.weights() else { continue };
			let (expected, found) = (layout.weights(component), weights.len());
			if expected != found {
				return Err(Error::Length { component, expected, found, unit: "weights" });
			}
		}
		let files = files.into_iter().map(Arc::new).collect();
		Ok(Self { architecture: *architecture, files })
	}

	/// The dimensions of the model.
	pub fn architecture(&self) -> &Architecture {
		&self.architecture
	}
}

/// What is measured, or writes.
#[derive(Clone, Copy, Debug)]
pub enum Model<'a> {
	/// Master weights in memory.
	Weights(&'a Weights),
	/// Tile files.
	Mapped(&'a Mapped),
}

impl<'a> From<&'a Weights> for Model<'a> {
	fn from(weights: &'a Weights) -> Self {
		Self::Weights(weights)
	}
}

impl<'a> From<&'a Mapped> for Model<'a> {
	fn from(mapped: &'a Mapped) -> Self {
		Self::Mapped(mapped)
	}
}

impl<'a> Model<'a> {
	/// The dimensions of the model.
	pub fn architecture(&self) -> &'a Architecture {
		match self {
			Self::Weights(weights) => weights.architecture(),
			Self::Mapped(mapped) => mapped.architecture(),
		}
	}

	/// The model on a device, of which nothing is recorded. The layout is that of its architecture.
	pub(crate) fn network<'l>(&self, layout: &'l Layout, device: &Device) -> Result<Network<'l>> {
		match self {
			Self::Weights(weights) => {
				Ok(Network::of(layout, weights.floats_by_component(), device.tensors(), false))
			}
			Self::Mapped(mapped) => Network::from_files(layout, &mapped.files, device),
		}
	}
}

#[cfg(all(test, feature = "flex"))]
mod tests {
	use super::*;
	use crate::{demo, network};
	use blyan_primitives::{
		tensor::{DType, Header},
		H256,
	};
	use blyan_tiles::{convert, hashing, Store};
	use proptest::prelude::*;
	use std::{fs, path::Path};

	const INPUTS: &[u8] = b"abcabdacbdca";

	fn tiny() -> Architecture {
		Architecture {
			d_model: 12,
			layers: 2,
			heads: 2,
			context: 6,
			experts: 3,
			d_ff: 20,
			..demo::ARCHITECTURE
		}
	}

	/// Weights far from the first ones, some of them where floats are coarser than integers.
	fn moved(seed: u8, shift: u32) -> Weights {
		let first = Weights::initial(&tiny(), H256([seed; 32])).unwrap();
		let increment = |place: usize| (place as u32).wrapping_mul(0x9e37_79b9) as i32 >> shift;
		let components = first.components().iter();
		let increments: Vec<Vec<i32>> =
			components.map(|weights| (0..weights.len()).map(increment).collect()).collect();
		first.moved(&increments).unwrap()
	}

	/// The files of saved weights.
	fn saved(folder: &Path, weights: &Weights) -> Vec<TileFile> {
		let store = Store::open(folder).unwrap();
		weights.save(&store, 0, 0).unwrap();
		let components = tiny().components();
		components.iter().map(|component| store.read(0, 0, &component.name).unwrap()).collect()
	}

	/// The bits of all logits.
	fn logits<'a>(model: impl Into<Model<'a>>) -> Vec<u32> {
		let model: Model<'_> = model.into();
		let layout = Layout::new(&tiny()).unwrap();
		let device = Device::named("cpu").unwrap();
		let network = model.network(&layout, &device).unwrap();
		let logits = network.forward(INPUTS, 2, 6).unwrap().logits;
		network::read(logits).unwrap().into_iter().map(f32::to_bits).collect()
	}

	proptest! {
		#![proptest_config(ProptestConfig::with_cases(8))]

		#[test]
		fn files_compute_the_bits_of_the_weights_in_them(seed in any::<u8>(), shift in 5..16u32) {
			let folder = tempfile::tempdir().unwrap();
			let weights = moved(seed, shift);
			let mapped = Mapped::new(&tiny(), saved(folder.path(), &weights)).unwrap();
			prop_assert_eq!(logits(&mapped), logits(&weights));
		}
	}

	/// Writes a payload and maps it.
	fn file_of(path: &Path, dtype: DType, elements: usize, payload: &[u8]) -> TileFile {
		let mut header = Header::weights(256, hashing::root_of(payload).unwrap()).unwrap();
		header.dtype = dtype;
		header.shape = vec![elements as u32].try_into().unwrap();
		header.fraction_bits = 0;
		header.payload_bytes = payload.len() as u64;
		header.scales_offset = if dtype == DType::I8 { elements as u64 } else { 0 };
		fs::write(path, [header.encode().unwrap(), payload.to_vec()].concat()).unwrap();
		TileFile::open_verified(path, &header.root).unwrap()
	}

	fn pad(payload: &mut Vec<u8>) {
		payload.resize(payload.len().next_multiple_of(256), 0);
	}

	/// A component as `i8`, and as the `f32` that this stands for.
	fn small_and_long(
		folder: &Path,
		layout: &Layout,
		place: usize,
		floats: &[f32],
	) -> [TileFile; 2] {
		let (mut small, mut scales, mut long) = (Vec::new(), Vec::new(), Vec::new());
		for tensor in 0..layout.components()[place].tensors.len() {
			let [_, cols] = layout.shape(place, tensor);
			let floats = &floats[layout.range(place, tensor)];
			let (integers, of_rows) = convert::to_i8(floats, cols).unwrap();
			let back = convert::from_i8(&integers, &of_rows, cols);
			small.extend(integers.iter().map(|integer| *integer as u8));
			scales.extend(of_rows.iter().flat_map(|scale| scale.to_le_bytes()));
			long.extend(back.iter().flat_map(|float| float.to_le_bytes()));
			[&mut small, &mut scales, &mut long].into_iter().for_each(pad);
		}
		let elements = small.len();
		small.extend(scales);
		[
			file_of(&folder.join(format!("{place}.i8")), DType::I8, elements, &small),
			file_of(&folder.join(format!("{place}.f32")), DType::F32, long.len() / 4, &long),
		]
	}

	#[test]
	fn scaled_files_compute_the_bits_of_the_floats_that_they_stand_for() {
		let folder = tempfile::tempdir().unwrap();
		let layout = Layout::new(&tiny()).unwrap();
		let (mut small, mut long) = (Vec::new(), Vec::new());
		for (place, floats) in moved(3, 9).floats_by_component().enumerate() {
			let [scaled, plain] = small_and_long(folder.path(), &layout, place, &floats);
			small.push(scaled);
			long.push(plain);
		}
		let small = Mapped::new(&tiny(), small).unwrap();
		let long = Mapped::new(&tiny(), long).unwrap();
		assert_eq!(logits(&small), logits(&long));

		let device = Device::named("cpu").unwrap();
		for mut swapped in [small, long] {
			swapped.files.swap(0, 1);
			let refused = Model::from(&swapped).network(&layout, &device);
			assert!(matches!(refused, Err(Error::Matrix { .. })));
		}
	}

	#[test]
	fn files_that_are_not_those_of_the_model_are_refused() {
		let folder = tempfile::tempdir().unwrap();
		let open = || saved(folder.path(), &moved(1, 8));
		let mut files = open();
		files.pop();
		let refused = Mapped::new(&tiny(), files);
		assert!(matches!(refused, Err(Error::Components { .. })));
		let mut files = open();
		files.swap(0, 1);
		let refused = Mapped::new(&tiny(), files);
		assert!(matches!(refused, Err(Error::Length { component: 0, .. })));
	}
}
