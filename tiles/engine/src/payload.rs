//! Tile files as tensors: shared with the mapping on the processor, in one buffer on a card.
//!
//! # Overview
//!
//! [`Payload::of`] makes one tensor of all numbers of a component. On the processor it is the
//! mapping of the file itself: nothing is copied, and pages come from the disk when they are read.
//! On a card it is one buffer. burn is handed the mapping for it as a whole, without a copy; by way
//! of what memory the driver fills the buffer, and in how many writes, is up to the driver. The
//! scales of `i8` are a second tensor, and a second buffer.
//! [`Payload::floats`] makes floats of the numbers where they are, and [`matrix`] is a tensor of the
//! component as a view of them; [`Payload::matrices`] makes all tensors of a component.
//! [`Mapped`](crate::Mapped) is a model whose components are such files.
//!
//! # What devices compute with
//!
//! | element type | `cpu` | `wgpu` | `cuda` |
//! |---|---|---|---|
//! | `i32`, `f32` | yes | yes | yes |
//! | `f16` | yes | if the card and its driver have it | yes |
//! | `bf16`, `i8` | yes | no | yes |
//!
//! `wgpu` compiles to WGSL, the shading language of WebGPU, which has neither `bf16` nor integers
//! of 8 bits. [`Payload::of`] refuses what a device does not compute with, and so no model with such a
//! component runs there. The tests hold the first two columns; the third is what burn 0.22 says of
//! NVIDIA's cards, on none of which the tests have run yet.
//!
//! # What is copied
//!
//! A model computes with `f32`. On the processor a file of `f32` is what it computes with, without
//! a copy. Of every other type the floats of a component are a second buffer, since `Tensor::cast`
//! of burn 0.22 always makes one: it has no conversion in place, not even of `i32`, and a mapping is
//! never written to. Scaling then happens in place. Of `i8` there is besides, for one tensor at a
//! time, a copy of its bytes, since on the processor burn converts whole buffers only and copies a
//! part of one first. A card holds a component's numbers beside its floats until it has converted
//! them.
//!
//! # The floats of master weights
//!
//! Weight `q` with `F` fraction bits becomes `f32(q) · 2^−F`. The integer is rounded to 24
//! significant bits, to nearest and ties to even; the product is exact. These are the bits that
//! the engine computes with everywhere else. What is between −2^24 and 2^24, which is −1 and 1
//! with 24 fraction bits, is exact on every device. Beyond it the interfaces of graphics cards do
//! not promise in which direction a device rounds; the tests check the one that they run on.
//!
//! # The floats of `i8`
//!
//! Number `q` of a row with scale `s` becomes `f32(q) · s`, rounded once, to nearest and ties to
//! even: the bits of [`blyan_tiles::convert::from_i8`]. A card may make zero of products below the
//! least normal float, 2^−126; scales that [`blyan_tiles::convert::to_i8`] chose have none.
//!
//! ```
//! use blyan_engine::{payload::{matrix, Payload}, product::Matrix, Device};
//! use blyan_tiles::TileFile;
//!
//! # fn main() -> blyan_engine::Result<()> {
//! # #[cfg(feature = "flex")] {
//! # let folder = tempfile::tempdir().expect("a folder");
//! # let path = folder.path().join("head.blyt");
//! // Two rows of 32 weights, all of them 0.5.
//! let root = TileFile::create(&path, &[1 << 23; 64])?;
//! let file = TileFile::open_verified(&path, &root)?;
//! let floats = Payload::of(file, &Device::named("cpu")?)?.floats()?;
//! let second = matrix(&floats, &Matrix { weights: 64, first: 32, rows: 1, cols: 32 })?;
//! assert_eq!(second.dims(), [1, 32]);
//! # }
//! # Ok(())
//! # }
//! ```

use crate::{product::Matrix, Device, Error, Result};
use blyan_primitives::tensor::{DType as Stored, PayloadType, ALIGNMENT_BYTES, WEIGHT_BYTES};
use blyan_tiles::TileFile;
use burn::tensor::{AllocationProperty, Bytes, DType, FloatDType, Int, Tensor, TensorData};
use std::sync::Arc;

/// The numbers of a component on a device, row-major, with the padding between its tensors.
#[derive(Clone, Debug)]
pub enum Payload {
	/// Master weights.
	Fixed {
		/// The integers, `[count]`, `i32`, in units of 2^−`fraction_bits`.
		integers: Tensor<1, Int>,
		/// How many of their bits are behind the point.
		fraction_bits: u8,
	},
	/// Floats, `[count]`, of the type that the file has: `f32`, `f16` or `bf16`.
	Floats(Tensor<1>),
	/// Integers with a scale for each row.
	Scaled {
		/// The integers, `[count]`, `i8`, in units of the scale of their row.
		integers: Tensor<1, Int>,
		/// The scales, `[count]`, `f32`: one for each row of each tensor, with padding likewise.
		/// Boxed, so that no kind of payload is much larger than another.
		scales: Box<Tensor<1>>,
	},
}

/// What keeps a file mapped for as long as a tensor needs its bytes.
struct Owner(Arc<TileFile>);

impl AsRef<[u8]> for Owner {
	fn as_ref(&self) -> &[u8] {
		self.0.payload()
	}
}

impl Payload {
	/// The payload of a file, whose root the caller has verified, on a device.
	///
	/// Fails if the file holds no tensor block, or if the device cannot compute with its numbers. A
	/// card without room says so when it is read from.
	pub fn of(file: impl Into<Arc<TileFile>>, device: &Device) -> Result<Self> {
		let file: Arc<TileFile> = file.into();
		let dtype = dtype(&file, device)?;
		let header = file.header();
		let (fraction_bits, scales_offset) = (header.fraction_bits, header.scales_offset);
		let bytes = bytes::Bytes::from_owner(Owner(file));
		let options = (device.tensors(), dtype);
		Ok(match dtype {
			DType::I32 => {
				let integers = Tensor::from_data(data(bytes, dtype), options);
				Self::Fixed { integers, fraction_bits }
			}
			DType::I8 => {
				// Within the file, which is mapped.
				let end = scales_offset as usize;
				let integers = Tensor::from_data(data(bytes.slice(..end), dtype), options);
				let scales = data(bytes.slice(end..), DType::F32);
				let scales = Tensor::from_data(scales, (device.tensors(), DType::F32));
				Self::Scaled { integers, scales: Box::new(scales) }
			}
			_ => Self::Floats(Tensor::from_data(data(bytes, dtype), options)),
		})
	}

	/// The numbers as floats on the same device, `[count]`, `f32`. The module's documentation says
	/// how integers are rounded; shorter floats become longer without a loss.
	///
	/// Fails for `i8`: a file does not say where its rows end. [`Payload::matrices`] is told.
	pub fn floats(self) -> Result<Tensor<1>> {
		match self {
			Self::Fixed { integers, fraction_bits } => {
				let unit = 2f64.powi(-i32::from(fraction_bits));
				Ok(integers.cast(FloatDType::F32).mul_scalar(unit))
			}
			Self::Floats(floats) => Ok(floats.cast(FloatDType::F32)),
			Self::Scaled { .. } => Err(Error::NoRows),
		}
	}

	/// All tensors of the component on the same device, `[rows, cols]`, `f32`, in order. `shapes`
	/// are their rows and columns.
	///
	/// They are views of one buffer, but for `i8`, of which each is a buffer. Fails if tensors of
	/// these shapes, each padded to 256 bytes, are not the whole component.
	pub fn matrices(self, shapes: &[[usize; 2]]) -> Result<Vec<Tensor<2>>> {
		let element_bytes = match &self {
			Self::Fixed { .. } => WEIGHT_BYTES,
			Self::Floats(floats) => floats.dtype().size(),
			Self::Scaled { integers, scales } => return scaled(integers, scales, shapes),
		};
		let floats = self.floats()?;
		let [count] = floats.dims();
		let firsts = places(shapes, element_bytes, count)?;
		Ok(shapes.iter().zip(firsts).map(|(shape, first)| view(&floats, first, *shape)).collect())
	}
}

/// Bytes of a mapping as numbers.
fn data(bytes: bytes::Bytes, dtype: DType) -> TensorData {
	// A multiple of 256 bytes, as opening has checked.
	let count = bytes.len() / dtype.size();
	// That it is a file tells the driver to read it before it says that it has.
	let bytes = Bytes::from_shared(bytes, AllocationProperty::File);
	TensorData::from_bytes(bytes, [count], dtype)
}

/// The tensors of a component of `i8`, each row times its scale.
fn scaled(
	integers: &Tensor<1, Int>,
	scales: &Tensor<1>,
	shapes: &[[usize; 2]],
) -> Result<Vec<Tensor<2>>> {
	let [count] = integers.dims();
	let firsts = places(shapes, size_of::<i8>(), count)?;
	let columns: Vec<[usize; 2]> = shapes.iter().map(|[rows, _]| [*rows, 1]).collect();
	let [count] = scales.dims();
	let columns = columns.iter().zip(places(&columns, size_of::<f32>(), count)?);
	let mut matrices = Vec::with_capacity(shapes.len());
	for ((shape, first), (column, first_scale)) in shapes.iter().zip(firsts).zip(columns) {
		let [rows, cols] = *shape;
		let numbers = integers.clone().narrow(0, first, rows * cols).cast(FloatDType::F32);
		let numbers: Tensor<2> = numbers.reshape(*shape);
		matrices.push(numbers.mul(view(scales, first_scale, *column)));
	}
	Ok(matrices)
}

/// Where tensors of these shapes begin, in elements, if they are `count` elements with their padding.
fn places(shapes: &[[usize; 2]], element_bytes: usize, count: usize) -> Result<Vec<usize>> {
	let refused = || Error::Matrix { weights: count as u64 };
	let alignment = ALIGNMENT_BYTES as usize / element_bytes;
	let mut end = 0usize;
	let mut places = Vec::with_capacity(shapes.len());
	for [rows, cols] in shapes {
		places.push(end);
		end = rows
			.checked_mul(*cols)
			.filter(|elements| *elements > 0)
			.and_then(|elements| end.checked_add(elements)?.checked_next_multiple_of(alignment))
			.ok_or_else(refused)?;
	}
	if end == count {
		Ok(places)
	} else {
		Err(refused())
	}
}

/// A tensor of a component, `[rows, cols]`, as a view of all its floats, `[weights]`.
///
/// A card copies, on the card, what does not begin and end where its buffers may. Fails if there is
/// no such matrix.
pub fn matrix(floats: &Tensor<1>, matrix: &Matrix) -> Result<Tensor<2>> {
	let [weights] = floats.dims();
	if matrix.validate().is_err() || matrix.weights != weights {
		return Err(Error::Matrix { weights: weights as u64 });
	}
	Ok(view(floats, matrix.first, [matrix.rows, matrix.cols]))
}

/// The same view of a matrix that lies within its component.
pub(crate) fn view(floats: &Tensor<1>, first: usize, shape: [usize; 2]) -> Tensor<2> {
	let [rows, cols] = shape;
	floats.clone().narrow(0, first, rows * cols).reshape(shape)
}

/// What burn calls the numbers of a file, if the device can compute with them.
fn dtype(file: &TileFile, device: &Device) -> Result<DType> {
	let header = file.header();
	let (dtype, holds) = match (header.payload_type, header.dtype) {
		(PayloadType::TensorBlock, Stored::I32) => (Some(DType::I32), "i32"),
		(PayloadType::TensorBlock, Stored::F32) => (Some(DType::F32), "f32"),
		(PayloadType::TensorBlock, Stored::F16) => (Some(DType::F16), "f16"),
		(PayloadType::TensorBlock, Stored::Bf16) => (Some(DType::BF16), "bf16"),
		(PayloadType::TensorBlock, Stored::I8) => (Some(DType::I8), "i8 with scales"),
		_ => (None, "no tensor block"),
	};
	dtype.filter(|dtype| device.tensors().supports_dtype(*dtype)).ok_or_else(|| Error::NoTensor {
		path: file.path().to_path_buf(),
		holds,
		device: device.name().to_owned(),
	})
}
