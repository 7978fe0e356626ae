//! A folder of components: a tile file for each, and `components.json`, which says which tensors
//! they hold and what these were called where they come from.
//!
//! # The list
//!
//! ```json
//! { "version": 2, "components": [
//!   { "name": "layer.0", "root": "0x…", "dtype": "i32", "fraction_bits": 24, "tensors": [
//!     { "name": "blk.0.attn_q.weight", "shape": [576, 576], "offset": 0, "source": "q4_1" } ] } ] }
//! ```
//!
//! `dtype` and `fraction_bits` are those of the component's elements; the latter is 0 but for
//! `i32`. They are in the header of the tile file as well, but no root commits to that: the whole
//! header must be the one that follows from the list. Version 1 had neither, and is refused.
//!
//! `offset` is where the tensor begins in the payload; there is one right value for it, since
//! tensors lie in this order, each padded with zeros to 256 bytes. With `i8`, the scales of all
//! tensors follow behind the last tensor, in the same order and padded likewise, one for each row.
//! `source` is what the elements were before they were imported.
//!
//! Padding that is not zero is refused in a folder that has a list. Components of a model are taken
//! as they are, see [`Components::with_files`]: deltas of rounds may have moved their padding,
//! which no tensor holds.
//!
//! # Which tensors belong together
//!
//! If the source names its components, these. Else all tensors of a layer, which is told by the
//! first part of a name that is a number: `model.layers.3.mlp.up.weight` and `blk.3.ffn_up.weight`
//! belong to `layer.3`. A name without a number belongs to what it begins with, up to its last dot.
//! Names of components have small letters, digits and dots; other characters are left out, and
//! names that become the same are one component.
//!
//! # Example
//!
//! ```
//! use blyan_tiles::interchange::{
//!     components::{import, Components, Options},
//!     safetensors::{write_file, Safetensors},
//!     Export, Source,
//! };
//!
//! # let folder = tempfile::tempdir()?;
//! # let header = br#"{"a.w":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}}      "#;
//! # let mut given = (header.len() as u64).to_le_bytes().to_vec();
//! # given.extend_from_slice(header);
//! # given.extend([0.5f32, -2.0].iter().flat_map(|value| value.to_le_bytes()));
//! # std::fs::write(folder.path().join("given.safetensors"), given)?;
//! let given = Safetensors::open(&folder.path().join("given.safetensors"))?;
//! import(&given, folder.path(), &Options::default(), |_| ())?;
//!
//! let components = Components::open(folder.path())?;
//! assert_eq!(components.read(0)?.floats(), [0.5, -2.0]);
//! let export = Export::new(&components, None, Default::default())?;
//! write_file(&folder.path().join("back.safetensors"), &components, &export)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use super::{
	check_entries, check_tensor,
	payload::{self, Payload},
	Entry, Error, Result, Source, Stop, Stored, COMPONENTS_KEY, MAX_HEADER_BYTES,
};
use crate::{
	atomic,
	convert::{Overflow, Values},
	store, TileFile,
};
use blyan_primitives::{
	tensor::{
		self, Compression, DType, Header, PayloadType, Shape, ALIGNMENT_BYTES, FRACTION_BITS,
		MAX_PAYLOAD_BYTES, SCALE_BYTES,
	},
	H256,
};
use serde::{Deserialize, Serialize};
use std::{
	collections::{BTreeMap, HashMap, HashSet},
	fs::File,
	io::{Read, Write},
	ops::Range,
	path::{Path, PathBuf},
};

/// The file that says which tensors the components hold.
pub const LIST_FILE: &str = "components.json";
/// The most components of a folder.
pub const MAX_COMPONENTS: usize = 4_096;
/// The only version of the list.
const VERSION: u8 = 2;
/// What stands for a part of a name of which nothing is left.
const UNNAMED: &str = "x";
/// Parts of names that mean a layer.
const LAYER_WORDS: [&str; 6] = ["blk", "block", "blocks", "h", "layer", "layers"];
/// First parts of names that say nothing.
const EMPTY_WORDS: [&str; 2] = ["model", "transformer"];

/// Which components a folder has.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct List {
	/// The version of this list.
	version: u8,
	/// The components, in the order of the source.
	components: Vec<Component>,
}

/// What is looked at first, since lists of other versions have other fields.
#[derive(Deserialize)]
struct Version {
	version: u8,
}

/// A component of a list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Component {
	/// Its name, which its file has as well.
	pub name: String,
	/// The root of its payload.
	pub root: H256,
	/// The type of its elements.
	pub dtype: DType,
	/// Fraction bits of `i32` elements, else 0.
	pub fraction_bits: u8,
	/// Its tensors, in the order in which they lie in the payload.
	pub tensors: Vec<Tensor>,
}

/// A tensor of a component.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tensor {
	/// Its name in the source.
	pub name: String,
	/// Its dimensions, outermost first; none for a single value.
	#[serde(deserialize_with = "super::shape::dimensions")]
	pub shape: Vec<u64>,
	/// Where it begins in the payload, in bytes.
	pub offset: u64,
	/// What its elements were in the source.
	pub source: Stored,
}

impl List {
	/// A list of these components. Its offsets and names are checked when a folder is opened with
	/// it.
	pub fn new(components: Vec<Component>) -> Self {
		Self { version: VERSION, components }
	}

	/// The components.
	pub fn components(&self) -> &[Component] {
		&self.components
	}

	/// Reads the list of a folder. Nothing but its length and form is checked.
	fn read(folder: &Path) -> Result<Self> {
		let path = folder.join(LIST_FILE);
		let mut text = Vec::new();
		let file = File::open(&path).map_err(crate::Error::io("open", &path))?;
		file.take(MAX_HEADER_BYTES + 1)
			.read_to_end(&mut text)
			.map_err(crate::Error::io("read", &path))?;
		if text.len() as u64 > MAX_HEADER_BYTES {
			let problem = format!("the list is longer than {MAX_HEADER_BYTES} bytes");
			return Err(Error::Components { path, problem });
		}
		let damaged = |error: serde_json::Error| Error::Components {
			path: path.clone(),
			problem: error.to_string(),
		};
		let Version { version } = serde_json::from_slice(&text).map_err(damaged)?;
		check_version(version, &path)?;
		serde_json::from_slice(&text).map_err(damaged)
	}

	fn write(&self, folder: &Path) -> Result<()> {
		let path = folder.join(LIST_FILE);
		let mut text = serde_json::to_vec_pretty(self).map_err(|error| Error::Components {
			path: path.clone(),
			problem: error.to_string(),
		})?;
		text.push(b'\n');
		Ok(atomic::write(&path, |file| file.write_all(&text))?)
	}
}

/// Fails for a list of another version.
fn check_version(version: u8, path: &Path) -> Result<()> {
	if version == VERSION {
		return Ok(());
	}
	let problem =
		format!("version {version} of the list is unknown, this program reads version {VERSION}");
	Err(Error::Components { path: path.to_path_buf(), problem })
}

/// Where the parts of a payload lie.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Layout {
	/// The elements and the scales of each tensor, without padding.
	places: Vec<(Range<u64>, Range<u64>)>,
	/// Bytes of all elements, with padding.
	elements: u64,
	/// Bytes of the payload.
	bytes: u64,
}

impl Layout {
	/// The layout of tensors of these shapes, if the payload is not too long.
	fn new<'a>(dtype: DType, shapes: impl Iterator<Item = &'a [u64]> + Clone) -> Option<Self> {
		let mut end = 0u64;
		let mut places = Vec::new();
		for shape in shapes.clone() {
			let length = super::count(shape)?.checked_mul(dtype.element_bytes())?;
			places.push((reserve(&mut end, length)?, 0..0));
		}
		let elements = end;
		if dtype == DType::I8 {
			for (shape, place) in shapes.zip(&mut places) {
				let row = shape.last().copied().unwrap_or(1);
				let rows = super::count(shape)?.checked_div(row)?;
				place.1 = reserve(&mut end, rows.checked_mul(SCALE_BYTES)?)?;
			}
		}
		Some(Self { places, elements, bytes: end })
	}

	/// The header of a file with this payload, but for its root.
	fn header(&self, dtype: DType, fraction_bits: u8) -> Option<Header> {
		let mut shape = Shape::default();
		shape.try_push(u32::try_from(self.elements / dtype.element_bytes()).ok()?).ok()?;
		Some(Header {
			payload_type: PayloadType::TensorBlock,
			dtype,
			shape,
			fraction_bits,
			compression: Compression::None,
			payload_bytes: self.bytes,
			scales_offset: if dtype == DType::I8 { self.elements } else { 0 },
			root: H256::default(),
		})
	}
}

/// Reserves bytes from `end` on and moves it behind their padding.
fn reserve(end: &mut u64, length: u64) -> Option<Range<u64>> {
	let start = *end;
	let stop = start.checked_add(length)?;
	let padded = stop.checked_next_multiple_of(ALIGNMENT_BYTES)?;
	if padded > MAX_PAYLOAD_BYTES {
		return None;
	}
	*end = padded;
	Some(start..stop)
}

/// How tensors are imported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
	/// The element type of the components.
	pub dtype: DType,
	/// Fraction bits of `i32` elements, at most 31.
	pub fraction_bits: u8,
	/// What becomes of values that are too large.
	pub overflow: Overflow,
}

impl Default for Options {
	/// Master weights.
	fn default() -> Self {
		Self { dtype: DType::I32, fraction_bits: FRACTION_BITS, overflow: Overflow::Refuse }
	}
}

/// Writes the tensors of a source into a folder, as components and their list. Calls `done` after
/// each component.
///
/// One tensor is in memory at a time. The list is written last, so a folder without it is none. A
/// folder that has one is refused: an import over it that ends half-way would leave neither its
/// components nor the new ones.
pub fn import(
	source: &dyn Source,
	folder: &Path,
	options: &Options,
	mut done: impl FnMut(&Component),
) -> Result<List> {
	let listed = folder.join(LIST_FILE);
	if listed.try_exists().map_err(crate::Error::io("examine", &listed))? {
		return Err(Error::Occupied(folder.to_path_buf()));
	}
	let mut components = Vec::new();
	for (name, places) in groups(source, folder)? {
		let component = import_component(source, folder, options, name, &places)?;
		done(&component);
		components.push(component);
	}
	let list = List::new(components);
	list.write(folder)?;
	Ok(list)
}

fn import_component(
	source: &dyn Source,
	folder: &Path,
	options: &Options,
	name: String,
	places: &[usize],
) -> Result<Component> {
	let path = folder.join(store::file_name(&name)?);
	let entries: Vec<&Entry> = places.iter().filter_map(|p| source.entries().get(*p)).collect();
	let too_long = || {
		let problem = format!("the component {name} is too long; use a smaller element type");
		Error::Components { path: path.clone(), problem }
	};
	let shapes = entries.iter().map(|entry| entry.shape.as_slice());
	let dtype = options.dtype;
	let fraction_bits = if dtype == DType::I32 { options.fraction_bits } else { 0 };
	let layout = Layout::new(dtype, shapes).ok_or_else(too_long)?;
	let header = layout.header(dtype, fraction_bits).ok_or_else(too_long)?;
	let root = payload::create(&path, header, |payload| {
		write_tensors(source, places, options, &layout, payload)
	})?;
	let tensors = entries.iter().zip(&layout.places).map(|(entry, (elements, _))| Tensor {
		name: entry.name.clone(),
		shape: entry.shape.clone(),
		offset: elements.start,
		source: entry.stored,
	});
	Ok(Component { tensors: tensors.collect(), name, root, dtype, fraction_bits })
}

fn write_tensors(
	source: &dyn Source,
	tensors: &[usize],
	options: &Options,
	layout: &Layout,
	payload: &mut Payload<'_>,
) -> std::result::Result<(), Stop> {
	let Options { dtype, fraction_bits, overflow } = *options;
	let mut scales = Vec::new();
	for (tensor, (elements, _)) in tensors.iter().zip(&layout.places) {
		payload.pad(elements.start)?;
		let encoded = super::encode(source, *tensor, dtype, fraction_bits, overflow)?;
		payload.write(&encoded.elements)?;
		scales.push(encoded.scales);
	}
	payload.pad(layout.elements)?;
	for (scales, (_, place)) in scales.iter().zip(&layout.places) {
		if dtype == DType::I8 {
			payload.pad(place.start)?;
			payload.write(scales)?;
		}
	}
	payload.pad(layout.bytes)?;
	Ok(())
}

/// Which tensors of a source make which component, both in the order of the source.
fn groups(source: &dyn Source, folder: &Path) -> Result<Vec<(String, Vec<usize>)>> {
	let entries = source.entries();
	check_entries(entries)?;
	let refused = |problem: &str| {
		let path = folder.to_path_buf();
		Error::Components { path, problem: problem.to_owned() }
	};
	if entries.is_empty() {
		return Err(refused("there are no tensors"));
	}
	if let Some(stated) = source.metadata().get(COMPONENTS_KEY) {
		return stated_groups(stated, entries.len()).ok_or_else(|| {
			refused("the metadata of the source names components that its tensors do not make")
		});
	}
	let mut groups: Vec<(String, Vec<usize>)> = Vec::new();
	let mut known: HashMap<String, usize> = HashMap::new();
	for (place, entry) in entries.iter().enumerate() {
		let name = component_of(&entry.name);
		let group = *known.entry(name).or_insert_with_key(|name| {
			groups.push((name.clone(), Vec::new()));
			groups.len() - 1
		});
		groups[group].1.push(place);
	}
	if groups.len() > MAX_COMPONENTS {
		return Err(refused(&format!("there are more than {MAX_COMPONENTS} components")));
	}
	Ok(groups)
}

/// The components that metadata states, if they take each of so many tensors once.
fn stated_groups(stated: &str, tensors: usize) -> Option<Vec<(String, Vec<usize>)>> {
	let mut groups = Vec::new();
	let mut names = HashSet::new();
	let mut next = 0usize;
	for part in stated.split(',') {
		let (name, count) = part.split_once(':')?;
		let count: usize = count.parse().ok().filter(|count| *count > 0)?;
		let end = next.checked_add(count).filter(|end| *end <= tensors)?;
		store::file_name(name).ok()?;
		if !names.insert(name) || groups.len() == MAX_COMPONENTS {
			return None;
		}
		groups.push((name.to_owned(), (next..end).collect()));
		next = end;
	}
	(next == tensors).then_some(groups)
}

/// The component that a tensor of this name belongs to.
fn component_of(tensor: &str) -> String {
	let mut parts: Vec<&str> = tensor.split('.').collect();
	if parts.len() > 1 && EMPTY_WORDS.contains(&parts[0]) {
		parts.remove(0);
	}
	let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
	match parts.iter().position(is_number).filter(|place| *place > 0) {
		Some(place) => {
			parts.truncate(place + 1);
			if LAYER_WORDS.contains(&parts[place - 1]) {
				parts[place - 1] = "layer";
			}
		}
		None if parts.len() > 1 => {
			parts.pop();
		}
		None => {}
	}
	let parts: Vec<String> = parts.iter().map(|part| plain(part)).collect();
	let mut name = parts.join(".");
	name.truncate(store::MAX_NAME_BYTES);
	// What was cut may have left a dot.
	name.trim_end_matches('.').to_owned()
}

/// The small letters and digits of a part of a name.
fn plain(part: &str) -> String {
	let kept = part.chars().map(|c| c.to_ascii_lowercase());
	let plain: String = kept.filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit()).collect();
	if plain.is_empty() {
		UNNAMED.to_owned()
	} else {
		plain
	}
}

/// The components of a folder, each checked against its root.
#[derive(Debug)]
pub struct Components {
	folder: PathBuf,
	list: List,
	files: Vec<TileFile>,
	entries: Vec<Entry>,
	/// The component of each tensor and where its elements and scales are in the payload.
	places: Vec<(usize, Range<usize>, Range<usize>)>,
	metadata: BTreeMap<String, String>,
}

impl Components {
	/// Opens a folder that [`import`] wrote and hashes everything in it.
	pub fn open(folder: &Path) -> Result<Self> {
		Self::with_list(folder, List::read(folder)?)
	}

	/// Opens a folder whose list comes from elsewhere, and hashes everything in it. Padding that is
	/// not zero is refused.
	pub fn with_list(folder: &Path, list: List) -> Result<Self> {
		let open = |component: &Component| {
			let name = store::file_name(&component.name)?;
			TileFile::open(folder.join(name))
		};
		let components = Self::with_files(folder, list, open)?;
		components.check_padding()?;
		Ok(components)
	}

	/// Takes the components that `open` finds for a list, and hashes everything in them. Errors
	/// name the folder that they belong to.
	///
	/// Padding between tensors may be anything: it may be a model's, which rounds have changed.
	pub fn with_files(
		folder: &Path,
		list: List,
		open: impl Fn(&Component) -> crate::Result<TileFile>,
	) -> Result<Self> {
		let path = folder.to_path_buf();
		check_version(list.version, folder)?;
		if list.components.is_empty() || list.components.len() > MAX_COMPONENTS {
			let problem = format!("there are {} components", list.components.len());
			return Err(Error::Components { path, problem });
		}
		let mut names = HashSet::new();
		if let Some(twice) = list.components.iter().find(|part| !names.insert(&part.name)) {
			let problem = format!("the component {:?} is listed twice", twice.name);
			return Err(Error::Components { path, problem });
		}
		let mut opened = Self {
			folder: path,
			files: Vec::with_capacity(list.components.len()),
			entries: Vec::new(),
			places: Vec::new(),
			metadata: BTreeMap::new(),
			list: List::new(Vec::new()),
		};
		for component in &list.components {
			opened.add(component, &open)?;
		}
		check_entries(&opened.entries)?;
		let state = |part: &Component| format!("{}:{}", part.name, part.tensors.len());
		let stated: Vec<String> = list.components.iter().map(state).collect();
		opened.metadata.insert(COMPONENTS_KEY.to_owned(), stated.join(","));
		opened.list = list;
		Ok(opened)
	}

	/// Says something else of the components, which exported files carry.
	pub fn with_metadata(mut self, key: &str, value: &str) -> Self {
		self.metadata.insert(key.to_owned(), value.to_owned());
		self
	}

	/// Which components there are.
	pub fn list(&self) -> &List {
		&self.list
	}

	/// Opens a component, checks it and takes up its tensors.
	fn add(
		&mut self,
		component: &Component,
		open: &impl Fn(&Component) -> crate::Result<TileFile>,
	) -> Result<()> {
		let refused = |problem: String| Error::Components {
			path: self.folder.clone(),
			problem: format!("{}: {problem}", component.name),
		};
		for tensor in &component.tensors {
			check_tensor(&tensor.name, &tensor.shape)?;
		}
		let file = open(component)?;
		let Component { dtype, fraction_bits, .. } = *component;
		let shapes = component.tensors.iter().map(|tensor| tensor.shape.as_slice());
		let (layout, header) = Layout::new(dtype, shapes)
			.filter(|layout| !layout.places.is_empty())
			.and_then(|layout| {
				let header = layout.header(dtype, fraction_bits)?;
				Some((layout, header))
			})
			.ok_or_else(|| refused(String::from("its tensors are none or too long")))?;
		let found = file.header().payload_bytes;
		if layout.bytes != found {
			let problem = format!("its tensors take {} bytes, not {found}", layout.bytes);
			return Err(refused(problem));
		}
		// Verifying compares the roots.
		if (Header { root: file.root(), ..header }) != *file.header() {
			let problem = format!(
				"the header of its file is not that of these tensors in {dtype:?} with \
				{fraction_bits} fraction bits"
			);
			return Err(refused(problem));
		}
		let place = self.files.len();
		let mut places = Vec::with_capacity(layout.places.len());
		for (tensor, (elements, scales)) in component.tensors.iter().zip(&layout.places) {
			if tensor.offset != elements.start {
				let (expected, found) = (elements.start, tensor.offset);
				let problem = format!("{:?} lies at {expected}, not at {found}", tensor.name);
				return Err(refused(problem));
			}
			// The file is mapped, so its offsets fit.
			let fits = |range: &Range<u64>| range.start as usize..range.end as usize;
			places.push((place, fits(elements), fits(scales)));
		}
		file.verify(&component.root)?;
		self.places.append(&mut places);
		self.entries.extend(component.tensors.iter().map(|tensor| Entry {
			name: tensor.name.clone(),
			shape: tensor.shape.clone(),
			stored: dtype.into(),
			fraction_bits,
		}));
		self.files.push(file);
		Ok(())
	}

	/// Refuses a component that has anything but zeros beside its tensors and their scales.
	fn check_padding(&self) -> Result<()> {
		// Every component has a tensor.
		let components = self.places.chunk_by(|first, second| first.0 == second.0);
		for (places, file) in components.zip(&self.files) {
			let elements = places.iter().map(|(_, elements, _)| elements);
			// Only i8 has any; the others are empty, and not in order.
			let scales = places.iter().map(|(_, _, scales)| scales);
			let scales = scales.filter(|range| !range.is_empty());
			let parts = elements.chain(scales).map(|range| range.start as u64..range.end as u64);
			tensor::check_padding(file.payload(), parts).map_err(|source| {
				crate::Error::TensorPadding { path: file.path().to_path_buf(), source }
			})?;
		}
		Ok(())
	}
}

impl Source for Components {
	fn entries(&self) -> &[Entry] {
		&self.entries
	}

	fn metadata(&self) -> &BTreeMap<String, String> {
		&self.metadata
	}

	fn read(&self, place: usize) -> Result<Values> {
		let found = self.places.get(place).zip(self.entries.get(place));
		let found = found.and_then(|(place, entry)| Some((place, entry, self.files.get(place.0)?)));
		let ((_, elements, scales), entry, file) =
			found.ok_or_else(|| Error::tensor("", "is not there"))?;
		let part = |range: &Range<usize>| file.payload().get(range.clone()).unwrap_or_default();
		let header = file.header();
		let row = entry.row() as usize;
		let (elements, scales) = (part(elements), part(scales));
		Ok(Values::decode(header.dtype, header.fraction_bits, elements, scales, row))
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn tensors_of_a_layer_belong_together() {
		for (tensor, component) in [
			("model.layers.3.self_attn.q_proj.weight", "layer.3"),
			("blk.29.attn_q.weight", "layer.29"),
			("transformer.h.0.ln_1.bias", "layer.0"),
			("encoder.layer.11.output.dense.bias", "encoder.layer.11"),
			("features.4.weight", "features.4"),
			("layer.0.expert.3.w1", "layer.0"),
			("token_embd.weight", "tokenembd"),
			("model.embed_tokens.weight", "embedtokens"),
			("model.norm.weight", "norm"),
			("lm_head.weight", "lmhead"),
			("head", "head"),
			("model", "model"),
			("7", "7"),
			("7.weight", "7"),
			("../../etc/passwd", "x.x.x.x"),
			("..", "x.x"),
			("a/../b.c", "a.x.b"),
			("Größe.w", "gre"),
			("", "x"),
		] {
			assert_eq!(component_of(tensor), component, "{tensor}");
			assert!(store::file_name(&component_of(tensor)).is_ok(), "{tensor}");
		}
		let long = "ab.".repeat(100);
		assert!(store::file_name(&component_of(&long)).is_ok());
	}

	#[test]
	fn stated_components_take_each_tensor_once() {
		let groups = stated_groups("embed:2,head:1", 3).unwrap();
		assert_eq!(groups, [("embed".to_owned(), vec![0, 1]), ("head".to_owned(), vec![2])]);
		for (stated, tensors) in [
			("embed:2,head:1", 2),
			("embed:2,head:1", 4),
			("embed:2,embed:1", 3),
			("embed:0,head:3", 3),
			("../a:3", 3),
			("embed", 1),
			("", 0),
			("a:18446744073709551615,b:2", 1),
		] {
			assert_eq!(stated_groups(stated, tensors), None, "{stated}");
		}
	}

	#[test]
	fn layouts_are_padded_and_bounded() {
		let shapes: [&[u64]; 3] = [&[3, 5], &[], &[65]];
		let layout = Layout::new(DType::I32, shapes.into_iter()).unwrap();
		let elements: Vec<Range<u64>> = layout.places.iter().map(|place| place.0.clone()).collect();
		assert_eq!(elements, [0..60, 256..260, 512..772]);
		assert_eq!((layout.elements, layout.bytes), (1_024, 1_024));
		let layout = Layout::new(DType::I8, shapes.into_iter()).unwrap();
		let scales: Vec<Range<u64>> = layout.places.iter().map(|place| place.1.clone()).collect();
		assert_eq!(scales, [768..780, 1_024..1_028, 1_280..1_284]);
		assert_eq!((layout.elements, layout.bytes), (768, 1_536));
		for shape in [&[u64::MAX, 2][..], &[MAX_PAYLOAD_BYTES], &[u64::MAX]] {
			assert_eq!(Layout::new(DType::I32, [shape].into_iter()), None);
		}
		// One dimension of a header counts the elements.
		let wide = Layout::new(DType::I8, [&[1u64 << 32][..]].into_iter()).unwrap();
		assert_eq!(wide.header(DType::I8, 0), None);
	}
}
