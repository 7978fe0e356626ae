//! Two sources, value by value.

use super::{Error, Result, Source};
use crate::convert::{self, Values};
use blyan_primitives::tensor::{DType, MAX_FRACTION_BITS};
use std::{collections::HashMap, fmt};

/// How far the values of the second source may be from those of the first.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Tolerance {
	/// By so much.
	Absolute(f64),
	/// By as much as rounding once to this element type moves them, as [`convert::rounding`] says.
	/// For `i32` it counts how many fraction bits the second has; what is no `i32` counts as 31.
	Rounding(DType),
}

impl fmt::Display for Tolerance {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		match self {
			Self::Absolute(difference) => write!(f, "{difference}"),
			Self::Rounding(dtype) => {
				let name = format!("{dtype:?}").to_lowercase();
				write!(f, "rounding to {name} moves them")
			}
		}
	}
}

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
	/// How many values differ by more than was to be tolerated, if that was said.
	pub intolerable: u64,
}

/// Compares all tensors: those of the first source in its order, then those that only the second
/// has. Calls `done` after each. Two tensors are in memory at a time.
pub fn compare(
	first: &dyn Source,
	second: &dyn Source,
	tolerance: Option<Tolerance>,
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
				let row = entry.row() as usize;
				let measured = measure(&first.read(place)?, &second.read(other)?, row, tolerance);
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

/// Measures two tensors of as many values, in rows of `row` values; nothing if the numbers of values
/// differ.
pub fn measure(
	first: &Values,
	second: &Values,
	row: usize,
	tolerance: Option<Tolerance>,
) -> Option<Measured> {
	if first.len() != second.len() {
		return None;
	}
	let (count, row) = (first.len(), row.max(1));
	let fraction_bits = match second {
		Values::Fixed { fraction_bits, .. } => *fraction_bits,
		Values::Small { .. } | Values::Float(_) => MAX_FRACTION_BITS,
	};
	let mut measured = Measured { values: count as u64, ..Measured::default() };
	for start in (0..count).step_by(row) {
		let pairs = (start..start.saturating_add(row).min(count))
			.filter_map(|index| first.get(index).zip(second.get(index)));
		// Nothing but i8 has a scale for each row.
		let largest = match tolerance {
			Some(Tolerance::Rounding(DType::I8)) => {
				pairs.clone().fold(0f64, |largest, (value, _)| largest.max(value.abs()))
			}
			_ => 0.0,
		};
		let allowed = |value: f64| match tolerance {
			Some(Tolerance::Absolute(difference)) => difference,
			Some(Tolerance::Rounding(dtype)) => {
				let moved = convert::rounding(dtype, fraction_bits, value, largest);
				// What is not finite is never rounded, so it must stay as it is.
				if moved.is_finite() {
					moved
				} else {
					0.0
				}
			}
			None => f64::INFINITY,
		};
		for (first, second) in pairs {
			measured.add(first, second, allowed);
		}
	}
	Some(measured)
}

impl Measured {
	fn add(&mut self, first: f64, second: f64, allowed: impl Fn(f64) -> f64) {
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
		self.intolerable += u64::from(absolute > allowed(first));
	}
}
