//! Tile files as tensors: shared with the mapping on the processor, in one upload on a card.
//!
//! # Overview
//!
//! [`Payload::of`] makes one tensor of all numbers of a component. On the processor it is the
//! mapping of the file itself: nothing is copied, and pages come from the disk when they are read.
//! On a card it is one buffer, which one write fills from the mapping, by way of memory that the
//! driver keeps for that. [`Payload::floats`] makes floats of the numbers where they are, and
//! [`matrix`] is a tensor of the component as a view of them.
//!
//! # The floats of master weights
//!
//! Weight `q` with `F` fraction bits becomes `f32(q) · 2^−F`. The integer is rounded to 24
//! significant bits, to nearest and ties to even; the product is exact. These are the bits that
//! the engine computes with everywhere else. What is between −2^24 and 2^24, which is −1 and 1
//! with 24 fraction bits, is exact on every device. Beyond it the interfaces of graphics cards do
//! not promise in which direction a device rounds; the tests check the one that they run on.
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
//! let floats = Payload::of(file, &Device::named("cpu")?)?.floats();
//! let second = matrix(&floats, &Matrix { weights: 64, first: 32, rows: 1, cols: 32 })?;
//! assert_eq!(second.dims(), [1, 32]);
//! # }
//! # Ok(())
//! # }
//! ```

use crate::{product::Matrix, Device, Error, Result};
use blyan_primitives::tensor::{DType as Stored, PayloadType};
use blyan_tiles::TileFile;
use burn::tensor::{AllocationProperty, Bytes, DType, FloatDType, Int, Tensor, TensorData};

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
}

/// What keeps a file mapped for as long as a tensor needs its bytes.
struct Mapped(TileFile);

impl AsRef<[u8]> for Mapped {
	fn as_ref(&self) -> &[u8] {
		self.0.payload()
	}
}

impl Payload {
	/// The payload of a file, whose root the caller has verified, on a device.
	///
	/// Fails if the file holds something else than `i32`, `f32`, `f16` or `bf16`, or if the device
	/// cannot compute with them. A card without room says so when it is read from.
	pub fn of(file: TileFile, device: &Device) -> Result<Self> {
		let dtype = dtype(&file, device)?;
		let fraction_bits = file.header().fraction_bits;
		let bytes = bytes::Bytes::from_owner(Mapped(file));
		// A multiple of 256 bytes, as opening has checked.
		let count = bytes.len() / dtype.size();
		// That it is a file tells the driver to read it before it says that it has.
		let bytes = Bytes::from_shared(bytes, AllocationProperty::File);
		let data = TensorData::from_bytes(bytes, [count], dtype);
		let options = (device.tensors(), dtype);
		Ok(match dtype {
			DType::I32 => Self::Fixed { integers: Tensor::from_data(data, options), fraction_bits },
			_ => Self::Floats(Tensor::from_data(data, options)),
		})
	}

	/// The numbers as floats on the same device, `[count]`, `f32`. The module's documentation says
	/// how integers are rounded; shorter floats become longer without a loss.
	pub fn floats(self) -> Tensor<1> {
		match self {
			Self::Fixed { integers, fraction_bits } => {
				let unit = 2f64.powi(-i32::from(fraction_bits));
				integers.cast(FloatDType::F32).mul_scalar(unit)
			}
			Self::Floats(floats) => floats.cast(FloatDType::F32),
		}
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
		(PayloadType::TensorBlock, Stored::I8) => (None, "i8 with scales"),
		_ => (None, "no tensor block"),
	};
	dtype.filter(|dtype| device.tensors().supports_dtype(*dtype)).ok_or_else(|| Error::NoTensor {
		path: file.path().to_path_buf(),
		holds,
		device: device.name().to_owned(),
	})
}
