//! Where tensors live.

use crate::{Error, Result};
use burn::tensor::Device as Tensors;

/// A device that this build can compute on.
///
/// The processor gives the same bits for the same inputs on one machine. Graphics cards sum in an
/// order of their own, which may change from run to run: they suit training, whose results are
/// compared within a tolerance.
#[derive(Clone, Debug)]
pub struct Device {
	name: String,
	tensors: Tensors,
}

impl Device {
	/// The device of this name: `cpu`, `wgpu`, `cuda`, or `cuda:1` for the second card.
	///
	/// Which of them there are depends on the features that this crate was built with. Whether a
	/// card is really there shows when it is used first.
	pub fn named(name: &str) -> Result<Self> {
		let (kind, index) = match name.split_once(':') {
			Some((kind, index)) => (kind, index.parse().ok()),
			None => (name, Some(0)),
		};
		index
			.and_then(|index| tensors(kind, index))
			.map(|tensors| Self { name: name.to_owned(), tensors })
			.ok_or_else(|| Error::Device {
				name: name.to_owned(),
				available: Self::available().join(", "),
			})
	}

	/// The names that this build knows.
	pub fn available() -> Vec<&'static str> {
		["cpu", "wgpu", "cuda"].into_iter().filter(|name| tensors(name, 0).is_some()).collect()
	}

	/// The name that the device was asked for with.
	pub fn name(&self) -> &str {
		&self.name
	}

	/// The device as burn knows it.
	pub fn tensors(&self) -> &Tensors {
		&self.tensors
	}
}

/// The device of a kind, if this build has the kind and the kind has an `index`-th device.
fn tensors(kind: &str, index: usize) -> Option<Tensors> {
	match (kind, index) {
		#[cfg(feature = "flex")]
		("cpu", 0) => Some(Tensors::flex()),
		#[cfg(feature = "wgpu")]
		("wgpu", 0) => Some(Tensors::wgpu(burn::tensor::DeviceKind::DefaultDevice)),
		#[cfg(feature = "cuda")]
		("cuda", index) => Some(Tensors::cuda(index)),
		_ => None,
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn unknown_devices_are_refused_and_the_known_ones_are_named() {
		for name in ["", "abacus", "cpu:1", "cuda:", "cuda:-1", "wgpu:7"] {
			let error = Device::named(name).unwrap_err();
			assert!(matches!(error, Error::Device { .. }), "{name}");
			for known in Device::available() {
				assert!(error.to_string().contains(known), "{error}");
			}
		}
		for known in Device::available() {
			assert_eq!(Device::named(known).unwrap().name(), known);
		}
	}
}
