//! Two sources, value by value.

use super::{Error, Result, Source};
use crate::convert::Values;
use std::collections::HashMap;

/// How a tensor differs between two sources.
#[derive(Clone, PartialEq, Debug)]
pub struct Difference {
	/// Its name.
	pub tensor: String,
	/// How it compares.
	pub found: Found,
}

/// How a tensor compares.
#[derive(Clone, PartialEq, Debug)]
pub enum Found {
	/// Both have it, with the same shape.
	Both(Measured),
	/// Only the first has it.
	OnlyFirst,
	/// Only the second has it.
	OnlySecond,
	/// The shapes differ.
	Shapes {
		/// That of the first.
		first: Vec<u64>,
		/// That of the second.
		second: Vec<u64>,
	},
}

/// How far the values of two tensors are from one another.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Measured {
	/// How many values there are.
	pub values: u64,
	/// How many of them differ. A value that is no number equals another one.
	pub unequal: u64,
	/// The largest difference; infinite if one of two is not finite.
	pub largest_absolute: f64,
	/// The largest difference divided by the larger magnitude of the two; 1 where one of them is 0.
	pub largest_relative: f64,
}

/// Compares all tensors: those of the first source in its order, then those that only the second
/// has. Calls `done` after each. Two tensors are in memory at a time.
pub fn compare(
	first: &dyn Source,
	second: &dyn Source,
	mut done: impl FnMut(&Difference),
) -> Result<Vec<Difference>> {
	let names = second.entries().iter().enumerate();
	let mut rest: HashMap<&str, usize> =
		names.map(|(place, entry)| (entry.name.as_str(), place)).collect();
	let mut differences = Vec::with_capacity(first.entries().len());
	for (place, entry) in first.entries().iter().enumerate() {
		let other = rest.remove(entry.name.as_str());
		let found = match other.and_then(|other| second.entries().get(other).zip(Some(other))) {
			None => Found::OnlyFirst,
			Some((other, _)) if other.shape != entry.shape => {
				Found::Shapes { first: entry.shape.clone(), second: other.shape.clone() }
			}
			Some((_, other)) => {
				let measured = measure(&first.read(place)?, &second.read(other)?);
				let short = || Error::tensor(&entry.name, "has fewer values than its shape says");
				Found::Both(measured.ok_or_else(short)?)
			}
		};
		let difference = Difference { tensor: entry.name.clone(), found };
		done(&difference);
		differences.push(difference);
	}
	for entry in second.entries().iter().filter(|entry| rest.contains_key(entry.name.as_str())) {
		let difference = Difference { tensor: entry.name.clone(), found: Found::OnlySecond };
		done(&difference);
		differences.push(difference);
	}
	Ok(differences)
}

/// Measures two tensors of as many values; nothing if the numbers of values differ.
pub fn measure(first: &Values, second: &Values) -> Option<Measured> {
	if first.len() != second.len() {
		return None;
	}
	let mut measured = Measured { values: first.len() as u64, ..Measured::default() };
	for index in 0..first.len() {
		if let Some((first, second)) = first.get(index).zip(second.get(index)) {
			measured.add(first, second);
		}
	}
	Some(measured)
}

impl Measured {
	fn add(&mut self, first: f64, second: f64) {
		if first == second || (first.is_nan() && second.is_nan()) {
			return;
		}
		self.unequal += 1;
		let (absolute, relative) = if first.is_finite() && second.is_finite() {
			// Of two that differ one is not zero.
			let absolute = (first - second).abs();
			(absolute, absolute / first.abs().max(second.abs()))
		} else {
			(f64::INFINITY, f64::INFINITY)
		};
		self.largest_absolute = self.largest_absolute.max(absolute);
		self.largest_relative = self.largest_relative.max(relative);
	}
}
