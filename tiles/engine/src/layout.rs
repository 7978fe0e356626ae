//! Where each tensor lies among the weights of its component.

use crate::{Error, Result};
use blyan_primitives::{
	model::{Architecture, Component},
	tensor::WEIGHT_BYTES,
};
use std::ops::Range;

/// Place of the embedding among the components.
pub(crate) const EMBED: usize = 0;
/// Place of the token embedding in its component.
pub(crate) const TOKEN: usize = 0;
/// Place of the position embedding in its component.
pub(crate) const POSITION: usize = 1;
/// Place of the gain in attention, router and head.
pub(crate) const GAIN: usize = 0;
/// Places of the matrices of attention.
pub(crate) const WQ: usize = 1;
pub(crate) const WK: usize = 2;
pub(crate) const WV: usize = 3;
pub(crate) const WO: usize = 4;
/// Place of the router's matrix in its component.
pub(crate) const ROUTER: usize = 1;
/// Place of the selection bias in the router's component.
pub(crate) const BIAS: usize = 2;
/// Places of the matrices of an expert.
pub(crate) const W1: usize = 0;
pub(crate) const W2: usize = 1;
/// Place of the head's matrix in its component.
pub(crate) const HEAD: usize = 1;

/// Components of a layer before its experts: attention and router.
const BEFORE_EXPERTS: usize = 2;

/// An architecture that was checked, with its components at hand.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
	architecture: Architecture,
	components: Vec<Component>,
}

impl Layout {
	pub fn new(architecture: &Architecture) -> Result<Self> {
		architecture.validate()?;
		Ok(Self { architecture: *architecture, components: architecture.components() })
	}

	pub fn architecture(&self) -> &Architecture {
		&self.architecture
	}

	pub fn components(&self) -> &[Component] {
		&self.components
	}

	pub fn width(&self) -> usize {
		usize::from(self.architecture.d_model)
	}

	pub fn layers(&self) -> usize {
		usize::from(self.architecture.layers)
	}

	pub fn heads(&self) -> usize {
		usize::from(self.architecture.heads)
	}

	pub fn experts(&self) -> usize {
		usize::from(self.architecture.experts)
	}

	pub fn context(&self) -> usize {
		usize::from(self.architecture.context)
	}

	/// Place of the attention of a layer among the components.
	pub fn attention(&self, layer: usize) -> usize {
		1 + layer * (BEFORE_EXPERTS + self.experts())
	}

	/// Place of the router of a layer among the components.
	pub fn router(&self, layer: usize) -> usize {
		self.attention(layer) + 1
	}

	/// Place of an expert of a layer among the components.
	pub fn expert(&self, layer: usize, expert: usize) -> usize {
		self.attention(layer) + BEFORE_EXPERTS + expert
	}

	/// Place of the head among the components.
	pub fn head(&self) -> usize {
		self.components.len() - 1
	}

	/// Whether this tensor is a selection bias, which no gradient trains.
	pub fn is_bias(&self, component: usize, tensor: usize) -> bool {
		tensor == BIAS && (0..self.layers()).any(|layer| self.router(layer) == component)
	}

	/// Weights of a component, padding included.
	pub fn weights(&self, component: usize) -> usize {
		self.components[component].bytes as usize / WEIGHT_BYTES
	}

	/// Rows and columns of a tensor.
	pub fn shape(&self, component: usize, tensor: usize) -> [usize; 2] {
		self.components[component].tensors[tensor].shape.map(|extent| extent as usize)
	}

	/// The weights of a tensor among those of its component, without padding.
	pub fn range(&self, component: usize, tensor: usize) -> Range<usize> {
		let start = self.components[component].tensors[tensor].offset_bytes as usize / WEIGHT_BYTES;
		let [rows, cols] = self.shape(component, tensor);
		start..start + rows * cols
	}

	/// Checks that there are as many components, each as long, as the architecture asks for.
	pub fn check(
		&self,
		unit: &'static str,
		lengths: impl ExactSizeIterator<Item = usize>,
	) -> Result<()> {
		let (expected, found) = (self.components.len(), lengths.len());
		if expected != found {
			return Err(Error::Components { expected, found });
		}
		for (component, found) in lengths.enumerate() {
			let expected = self.weights(component);
			if expected != found {
				return Err(Error::Length { component, expected, found, unit });
			}
		}
		Ok(())
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::demo;

	#[test]
	fn places_are_those_that_names_say() {
		let layout = Layout::new(&demo::ARCHITECTURE).unwrap();
		let name = |component: usize| layout.components()[component].name.as_str();
		let tensor = |component: usize, tensor: usize| {
			layout.components()[component].tensors[tensor].name.as_str()
		};
		assert_eq!(name(EMBED), "embed");
		assert_eq!([tensor(EMBED, TOKEN), tensor(EMBED, POSITION)], ["token", "position"]);
		for layer in 0..layout.layers() {
			let attention = layout.attention(layer);
			assert_eq!(name(attention), format!("layer.{layer}.attn"));
			let names = [GAIN, WQ, WK, WV, WO].map(|place| tensor(attention, place));
			assert_eq!(names, ["gain", "wq", "wk", "wv", "wo"]);
			let router = layout.router(layer);
			assert_eq!(name(router), format!("layer.{layer}.router"));
			let names = [GAIN, ROUTER, BIAS].map(|place| tensor(router, place));
			assert_eq!(names, ["gain", "router", "bias"]);
			assert!(layout.is_bias(router, BIAS) && !layout.is_bias(attention, BIAS));
			for expert in 0..layout.experts() {
				let component = layout.expert(layer, expert);
				assert_eq!(name(component), format!("layer.{layer}.expert.{expert}"));
				assert_eq!([W1, W2].map(|place| tensor(component, place)), ["w1", "w2"]);
			}
		}
		assert_eq!(name(layout.head()), "head");
		assert_eq!([GAIN, HEAD].map(|place| tensor(layout.head(), place)), ["gain", "head"]);
	}
}
