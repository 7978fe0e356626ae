//! The scales of `i8` tensors, which other formats hold as tensors of their own.

use super::{Entry, Error, Result, Stored, SCALE_SUFFIX};
use std::collections::{HashMap, HashSet};

/// The scales of a tensor, as a tensor: one for each row.
pub(super) fn entry_of(tensor: &Entry) -> Entry {
	let mut shape = tensor.shape.clone();
	if let Some(last) = shape.last_mut() {
		*last = 1;
	}
	Entry { name: name_of(&tensor.name), shape, stored: Stored::F32, fraction_bits: 0 }
}

/// The name of the scales of a tensor.
fn name_of(tensor: &str) -> String {
	format!("{tensor}{SCALE_SUFFIX}")
}

/// Takes the scales out of the tensors of a file and puts them beside the tensors that they are of.
/// `ranges` has where each entry lies; only of `i8` a tensor has a second one, that of its scales.
///
/// The caller has checked the entries: each name is there once.
pub(super) fn join<R>(
	entries: Vec<Entry>,
	ranges: Vec<R>,
) -> Result<(Vec<Entry>, Vec<(R, Option<R>)>)> {
	let small = entries.iter().filter(|entry| entry.stored == Stored::I8);
	let names: HashSet<String> = small.map(|entry| name_of(&entry.name)).collect();
	let (scales, tensors): (Vec<_>, Vec<_>) =
		entries.into_iter().zip(ranges).partition(|(entry, _)| names.contains(&entry.name));
	let mut scales: HashMap<String, (Entry, R)> =
		scales.into_iter().map(|found| (found.0.name.clone(), found)).collect();
	let mut entries = Vec::with_capacity(tensors.len());
	let mut places = Vec::with_capacity(tensors.len());
	for (entry, elements) in tensors {
		let scales = match entry.stored {
			Stored::I8 => Some(check(&entry, scales.remove(&name_of(&entry.name)))?),
			_ => None,
		};
		entries.push(entry);
		places.push((elements, scales));
	}
	Ok((entries, places))
}

/// Where the scales of an `i8` tensor lie, if what was found of that name is scales of it.
fn check<R>(tensor: &Entry, found: Option<(Entry, R)>) -> Result<R> {
	let expected = entry_of(tensor);
	let Some((scales, range)) = found else {
		let problem = format!("is i8, but no tensor {:?} has its scales", expected.name);
		return Err(Error::tensor(&tensor.name, format!("{problem}; export both, or it as f32")));
	};
	if scales.stored != Stored::F32 {
		let problem = "holds the scales of an i8 tensor and is no f32; export it as f32";
		return Err(Error::tensor(&scales.name, problem));
	}
	if scales.count() != expected.count() {
		let (found, rows) = (scales.count(), expected.count());
		let problem = format!("has {found} scales for an i8 tensor of {rows} rows");
		return Err(Error::tensor(&scales.name, format!("{problem}; export both again")));
	}
	Ok(range)
}
