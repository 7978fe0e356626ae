//! Weights in the formats of others: golden files, round trips, and files that are damaged on
//! purpose.

use blyan_tiles::{
	convert::{Overflow, Values},
	interchange::{
		compare::{compare, measure, Found, Measured, Tolerance},
		components::{import, Components, Options, LIST_FILE},
		gguf::Gguf,
		safetensors::{write_file, Safetensors},
		Entry, Error, Export, Result, Source, Stored, COMPONENTS_KEY, FRACTION_BITS_KEY,
		MAX_NAME_BYTES,
	},
	primitives::{
		tensor::{DType, Header, HEADER_BYTES},
		tree::bytes_root,
	},
	TileFile,
};
use std::{collections::BTreeMap, fs, ops::Range, path::Path};
use tempfile::TempDir;

const GGUF: &[u8] = include_bytes!("vectors/interchange/blocks.gguf");
const GGUF_VALUES: &[u8] = include_bytes!("vectors/interchange/blocks.f32");
const PLAIN: &[u8] = include_bytes!("vectors/interchange/plain.safetensors");
const PLAIN_VALUES: &[u8] = include_bytes!("vectors/interchange/plain.f32");

/// The floats of all tensors, one after another.
fn all_floats(source: &dyn Source) -> Vec<f32> {
	(0..source.entries().len()).flat_map(|place| source.read(place).unwrap().floats()).collect()
}

fn floats_of(bytes: &[u8]) -> Vec<f32> {
	Values::decode(DType::F32, 0, bytes, &[], 1).floats()
}

/// The bits of floats, which tell zeros of both signs apart.
fn bits(floats: &[f32]) -> Vec<u32> {
	floats.iter().map(|float| float.to_bits()).collect()
}

/// A source in memory.
struct Memory {
	entries: Vec<Entry>,
	values: Vec<Values>,
	metadata: BTreeMap<String, String>,
}

impl Memory {
	/// Tensors of floats, of a row each.
	fn new(tensors: &[(&str, &[f32])]) -> Self {
		let entries = tensors.iter().map(|(name, values)| Entry {
			name: name.to_string(),
			shape: vec![values.len() as u64],
			stored: Stored::F32,
			fraction_bits: 0,
		});
		let values = tensors.iter().map(|(_, values)| Values::Float(values.to_vec()));
		Self { entries: entries.collect(), values: values.collect(), metadata: BTreeMap::new() }
	}
}

impl Source for Memory {
	fn entries(&self) -> &[Entry] {
		&self.entries
	}

	fn metadata(&self) -> &BTreeMap<String, String> {
		&self.metadata
	}

	fn read(&self, place: usize) -> Result<Values> {
		Ok(self.values[place].clone())
	}
}

fn options(dtype: DType) -> Options {
	Options { dtype, ..Options::default() }
}

/// All that can be seen of a source. Values are the bits of floats or integers, and of scales behind
/// them.
#[derive(PartialEq)]
struct Seen {
	entries: Vec<Entry>,
	metadata: BTreeMap<String, String>,
	values: Vec<Vec<u32>>,
}

impl Seen {
	/// Whatever is accepted can be read to its end, and is as long as it says.
	fn new(source: &dyn Source) -> Self {
		let values = |(place, entry): (usize, &Entry)| -> Vec<u32> {
			let values = source.read(place).unwrap();
			assert_eq!(values.len() as u64, entry.count());
			match values {
				Values::Fixed { values, .. } => values.iter().map(|value| *value as u32).collect(),
				Values::Small { values, scales, row } => {
					assert_eq!(scales.len() as u64, entry.count() / row as u64);
					let small = values.iter().map(|value| *value as u32);
					small.chain(bits(&scales)).collect()
				}
				Values::Float(values) => bits(&values),
			}
		};
		let entries = source.entries();
		assert!(source.read(entries.len()).is_err());
		Self {
			entries: entries.to_vec(),
			metadata: source.metadata().clone(),
			values: entries.iter().enumerate().map(values).collect(),
		}
	}
}

#[test]
fn gguf_is_read_as_an_independent_reader_does() {
	let file = Gguf::new(GGUF).unwrap();
	let names: Vec<&str> = file.entries().iter().map(|entry| entry.name.as_str()).collect();
	assert_eq!(names[..3], ["token_embd.weight", "blk.0.attn_norm.weight", "blk.0.attn_q.weight"]);
	assert_eq!(file.entries()[3].shape, [1, 2, 32]);
	let stored: Vec<Stored> = file.entries().iter().map(|entry| entry.stored).collect();
	let expected = [
		Stored::F32,
		Stored::F16,
		Stored::Q4_0,
		Stored::Q4_1,
		Stored::Q8_0,
		Stored::Q6K,
		Stored::Bf16,
	];
	assert_eq!(stored, expected);
	assert_eq!(bits(&all_floats(&file)), bits(&floats_of(GGUF_VALUES)));
}

#[test]
fn safetensors_are_read_as_an_independent_writer_wrote_them() {
	let file = Safetensors::new(PLAIN).unwrap();
	assert_eq!(bits(&all_floats(&file)), bits(&floats_of(PLAIN_VALUES)));
	let fixed = file.entries().iter().position(|entry| entry.stored == Stored::I32).unwrap();
	let values = vec![0, 1 << 20, -1, i32::MIN];
	assert_eq!(file.read(fixed).unwrap(), Values::Fixed { values, fraction_bits: 20 });
	// The scales are beside their tensor, which is the last one, and no tensor of their own.
	let small = file.entries().last().unwrap();
	let (name, shape, stored) = (small.name.as_str(), &small.shape[..], small.stored);
	assert_eq!((name, shape, stored), ("blk.1.gate", &[2, 3][..], Stored::I8));
	let values = vec![-128, 0, 127, 1, -1, 5];
	let expected = Values::Small { values, scales: vec![0.5, -0.25], row: 3 };
	assert_eq!(file.read(file.entries().len() - 1).unwrap(), expected);
}

#[test]
fn cut_and_flipped_files_are_refused_or_others() {
	type Read = fn(&[u8]) -> Option<Seen>;
	// Where the tensors begin.
	let readers: [(&[u8], usize, Read); 2] = [
		(GGUF, 960, |bytes| Gguf::new(bytes).ok().map(|file| Seen::new(&file))),
		(PLAIN, 544, |bytes| Safetensors::new(bytes).ok().map(|file| Seen::new(&file))),
	];
	for (whole, start, read) in readers {
		let genuine = read(whole).unwrap();
		for length in 0..whole.len() {
			// The last tensor of the GGUF file ends at byte 1,548; behind it is padding, which may be
			// missing.
			let padding = whole == GGUF && length >= 1_548;
			assert!(read(&whole[..length]).is_none() || padding, "cut to {length}");
		}
		for offset in 0..whole.len() {
			for flip in [1, 0x10, 0x80, 0xff] {
				let mut damaged = whole.to_vec();
				damaged[offset] ^= flip;
				let Some(found) = read(&damaged) else {
					assert!(offset < start, "byte {offset} is that of a value");
					continue;
				};
				// What happens to a value changes no other tensor.
				let pairs = found.values.iter().zip(&genuine.values);
				let changed = pairs.filter(|(found, genuine)| found != genuine).count();
				let is_alone = found.entries == genuine.entries && changed <= 1;
				assert!(offset < start || is_alone, "byte {offset}");
				// GGUF has pairs that nobody reads, padding, and scales of blocks of zeros.
				assert!(whole == GGUF || found != genuine, "byte {offset}");
			}
		}
	}
	assert!(Safetensors::new([PLAIN, &[0]].concat()).is_err());
}

/// A file of safetensors with this header and so many bytes of data.
fn safetensors_of(header: &str, data: usize) -> Vec<u8> {
	let mut file = (header.len() as u64).to_le_bytes().to_vec();
	file.extend_from_slice(header.as_bytes());
	file.resize(file.len() + data, 0);
	file
}

fn problem<T>(refused: Result<T>) -> String {
	match refused {
		Ok(_) => panic!("nothing was refused"),
		Err(error) => error.to_string(),
	}
}

#[test]
fn safetensors_that_lie_are_refused_by_name() {
	let tensor = |dtype: &str, shape: &str, start: u64, end: u64| {
		format!(r#"{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{start},{end}]}}"#)
	};
	let long = "n".repeat(MAX_NAME_BYTES + 1);
	let one = tensor("F32", "[1]", 0, 4);
	let scaled = |shape: &str, dtype: &str, scales: &str| {
		let scales = tensor(dtype, scales, 4, 8);
		format!(r#"{{"a":{},"a.scale":{scales}}}"#, tensor("I8", shape, 0, 4))
	};
	let cases = [
		(format!(r#"{{"a":{one},"a":{one}}}"#), 4, "\"a\" occurs twice"),
		(format!(r#"{{"a":{one},"b":{one}}}"#), 4, "`b`"),
		(format!(r#"{{"a":{}}}"#, tensor("F32", "[1]", 4, 8)), 8, "`a`"),
		(format!(r#"{{"a":{}}}"#, tensor("F32", "[2]", 0, 4)), 4, "invalid shape"),
		(format!(r#"{{"a":{one}}}"#), 5, "4 bytes must follow"),
		(format!(r#"{{"a":{one}}}"#), 3, "4 bytes must follow"),
		(format!(r#"{{"a":{}}}"#, tensor("F64", "[1]", 0, 8)), 8, "is F64"),
		(format!(r#"{{"a":{}}}"#, tensor("X9", "[1]", 0, 4)), 4, "X9"),
		(format!(r#"{{"a":{}}}"#, tensor("I32", "[1]", 0, 4)), 4, "fraction_bits"),
		(format!(r#"{{"a":{}}}"#, tensor("I8", "[4]", 0, 4)), 4, "no tensor \"a.scale\""),
		(scaled("[4]", "F16", "[2]"), 8, "is no f32"),
		(scaled("[4]", "I8", "[4]"), 8, "is no f32"),
		(scaled("[2,2]", "F32", "[1]"), 8, "has 1 scales for an i8 tensor of 2 rows"),
		(format!(r#"{{"a":{}}}"#, tensor("F32", "[0]", 0, 0)), 0, "has no values"),
		(format!(r#"{{"a":{}}}"#, tensor("F32", "[1,1,1,1,1,1,1,1,1]", 0, 4)), 4, "more than 8"),
		(format!(r#"{{"a":{}}}"#, tensor("F32", "[4611686018427387904,4]", 0, 0)), 0, "overflow"),
		(format!(r#"{{"{long}":{one}}}"#), 4, "has a name of 257 bytes"),
		(format!(r#"{{"":{one}}}"#), 4, "has a name of 0 bytes"),
		(String::from("[]"), 0, "a map"),
		(String::from("{"), 0, "EOF"),
	];
	for (header, data, complaint) in cases {
		let found = problem(Safetensors::new(safetensors_of(&header, data)));
		assert!(found.contains(complaint), "{header}: {found}");
	}
	let mut huge = u64::MAX.to_le_bytes().to_vec();
	assert!(problem(Safetensors::new(huge.clone())).contains("longer than"));
	huge[..8].copy_from_slice(&9u64.to_le_bytes());
	assert!(problem(Safetensors::new(huge)).contains("only 0 follow"));
}

/// A file of GGUF with these pairs and tensors, each encoded already, and so many bytes of data.
fn gguf_of(pairs: &[Vec<u8>], tensors: &[Vec<u8>], data: usize) -> Vec<u8> {
	let mut file = b"GGUF".to_vec();
	file.extend(3u32.to_le_bytes());
	file.extend((tensors.len() as u64).to_le_bytes());
	file.extend((pairs.len() as u64).to_le_bytes());
	file.extend(pairs.concat());
	file.extend(tensors.concat());
	file.resize(file.len().next_multiple_of(32) + data, 0);
	file
}

fn text(text: &str) -> Vec<u8> {
	[&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}

/// A tensor's description: extents innermost first.
fn described(name: &str, extents: &[u64], kind: u32, offset: u64) -> Vec<u8> {
	let mut bytes = text(name);
	bytes.extend((extents.len() as u32).to_le_bytes());
	for extent in extents {
		bytes.extend(extent.to_le_bytes());
	}
	bytes.extend(kind.to_le_bytes());
	bytes.extend(offset.to_le_bytes());
	bytes
}

fn pair(key: &str, kind: u32, value: &[u8]) -> Vec<u8> {
	[&text(key)[..], &kind.to_le_bytes(), value].concat()
}

#[test]
fn gguf_that_lies_is_refused_by_name() {
	let tensors = |tensors: &[Vec<u8>]| gguf_of(&[], tensors, 64);
	let pairs = |pairs: &[Vec<u8>]| gguf_of(pairs, &[], 0);
	let nested = [&9u32.to_le_bytes()[..], &1u64.to_le_bytes()].concat();
	let endless = [&6u32.to_le_bytes()[..], &u64::MAX.to_le_bytes()].concat();
	let words = [&8u32.to_le_bytes()[..], &u64::MAX.to_le_bytes()].concat();
	let cases = [
		(tensors(&[described("a", &[4], 0, 0), described("a", &[4], 0, 32)]), "occurs twice"),
		(tensors(&[described("a", &[9], 0, 0), described("b", &[4], 0, 32)]), "shares bytes"),
		(tensors(&[described("a", &[4], 0, 4)]), "not aligned"),
		(tensors(&[described("a", &[17], 0, 0)]), "outside of the file"),
		(tensors(&[described("a", &[4], 0, u64::MAX - 31)]), "outside of the file"),
		(tensors(&[described("a", &[4], 12, 0)]), "has the type 12"),
		(tensors(&[described("a", &[16, 2], 2, 0)]), "rows of 16 values"),
		(tensors(&[described("a", &[], 0, 0)]), "0 dimensions"),
		(tensors(&[described("a", &[1; 5], 0, 0)]), "5 dimensions"),
		(tensors(&[described("a", &[0], 0, 0)]), "has no values"),
		(tensors(&[described("a", &[u64::MAX, 2], 0, 0)]), "the shape is damaged"),
		(tensors(&[described("a", &[u64::MAX], 0, 0)]), "longer than any file"),
		(tensors(&[described(&"n".repeat(257), &[4], 0, 0)]), "has a name of 257 bytes"),
		(pairs(&[pair("general.alignment", 5, &[0; 4])]), "has the type 5"),
		(pairs(&[pair("general.alignment", 4, &3u32.to_le_bytes())]), "no power of two"),
		(pairs(&[pair("general.alignment", 4, &0u32.to_le_bytes())]), "no power of two"),
		(pairs(&[pair("general.alignment", 4, &(1u32 << 21).to_le_bytes())]), "no power of two"),
		(pairs(&[pair("a", 13, &[])]), "has the type 13"),
		(pairs(&[pair("a", 9, &nested)]), "has the type 9"),
		(pairs(&[pair("a", 9, &endless)]), "too long"),
		(pairs(&[pair("a", 9, &words)]), "are left"),
		(pairs(&[pair("a", 8, &u64::MAX.to_le_bytes())]), "are left"),
		(b"GGML".to_vec(), "does not begin"),
		([&b"GGUF"[..], &[1, 0, 0, 0]].concat(), "version 1"),
		// Big-endian.
		([&b"GGUF"[..], &[0, 0, 0, 3]].concat(), "version 50331648"),
	];
	for (file, complaint) in cases {
		let found = problem(Gguf::new(file));
		assert!(found.contains(complaint), "{complaint}: {found}");
	}
	for (at, complaint) in [(8, "tensors are more"), (16, "pairs are more")] {
		let mut file = gguf_of(&[], &[], 0);
		file[at..at + 8].copy_from_slice(&u64::MAX.to_le_bytes());
		assert!(problem(Gguf::new(file)).contains(complaint));
	}
	let mut file = gguf_of(&[], &[], 0);
	file[8..16].copy_from_slice(&60_000u64.to_le_bytes());
	assert!(problem(Gguf::new(file)).contains("do not fit"));
	let mut unnamed = gguf_of(&[], &[described("a", &[4], 0, 0)], 64);
	unnamed[32] = 0xff;
	assert!(problem(Gguf::new(unnamed)).contains("no UTF-8"));
}

/// Imports a source into a folder.
fn imported(source: &dyn Source, options: Options) -> (TempDir, Components) {
	let folder = tempfile::tempdir().unwrap();
	import(source, folder.path(), &options, |_| ()).unwrap();
	let components = Components::open(folder.path()).unwrap();
	(folder, components)
}

#[test]
fn gguf_becomes_components_by_layer() {
	let source = Gguf::new(GGUF).unwrap();
	let mut seen = Vec::new();
	let folder = tempfile::tempdir().unwrap();
	let list = import(&source, folder.path(), &options(DType::F32), |component| {
		seen.push(component.name.clone());
	})
	.unwrap();
	assert_eq!(seen, ["tokenembd", "layer.0", "layer.1", "outputnorm"]);
	let components = Components::open(folder.path()).unwrap();
	assert_eq!(components.list(), &list);
	assert_eq!(list.components()[1].tensors[1].source, Stored::Q4_0);
	assert_eq!(list.components()[1].tensors[1].offset, 256);
	assert_eq!(bits(&all_floats(&components)), bits(&floats_of(GGUF_VALUES)));
	let stated = &components.metadata()[COMPONENTS_KEY];
	assert_eq!(stated, "tokenembd:1,layer.0:3,layer.1:2,outputnorm:1");
}

#[test]
fn exported_components_are_imported_again_byte_by_byte() {
	let tensors: [(&str, &[f32]); 3] = [
		("z.layers.1.w", &[0.1, -3.0, 2.0f32.powi(-24), 127.99]),
		("z.layers.0.w", &[1.0]),
		("a", &[-128.0, 0.0]),
	];
	let source = Memory::new(&tensors);
	for dtype in [DType::I32, DType::F16, DType::Bf16, DType::F32] {
		let (folder, components) = imported(&source, options(dtype));
		let file = folder.path().join("out.safetensors");
		let export = Export::new(&components, None, Overflow::Refuse).unwrap();
		assert_eq!(export.metadata().contains_key(FRACTION_BITS_KEY), dtype == DType::I32);
		write_file(&file, &components, &export).unwrap();
		let first = fs::read(&file).unwrap();
		let back = Safetensors::open(&file).unwrap();
		let (_again, again) = imported(&back, options(dtype));
		let roots = |components: &Components| -> Vec<_> {
			components.list().components().iter().map(|part| part.root).collect()
		};
		assert_eq!(roots(&again), roots(&components), "{dtype:?}");
		for (place, entry) in components.entries().iter().enumerate() {
			assert_eq!(&again.entries()[place], entry);
			assert_eq!(again.read(place).unwrap(), components.read(place).unwrap());
		}
		write_file(&file, &again, &Export::new(&again, None, Overflow::Refuse).unwrap()).unwrap();
		assert_eq!(fs::read(&file).unwrap(), first);
	}
}

#[test]
fn small_integers_come_back_within_half_a_scale() {
	let source = Gguf::new(GGUF).unwrap();
	let (_folder, components) = imported(&source, options(DType::I8));
	let rounding = Some(Tolerance::Rounding(DType::I8));
	for difference in compare(&source, &components, rounding, |_| ()).unwrap() {
		let Found::Both(measured) = difference.found else { panic!("{difference:?}") };
		assert_eq!(measured.intolerable, 0, "{}", difference.tensor);
		let place = source.entries().iter().position(|entry| entry.name == difference.tensor);
		let floats = source.read(place.unwrap()).unwrap().floats();
		let largest = floats.iter().fold(0f32, |largest, value| largest.max(value.abs()));
		let bound = f64::from(largest) / 254.0 * 1.000_1;
		assert!(measured.largest_absolute <= bound, "{}: {measured:?}", difference.tensor);
	}
	let export = Export::new(&components, None, Overflow::Refuse).unwrap();
	assert_eq!(export.entries()[0].stored, Stored::F32);
	let refused = Export::new(&components, Some(DType::I32), Overflow::Refuse);
	assert!(matches!(refused, Err(Error::Tensor { .. })));
}

/// A file of safetensors with an `i8` tensor `w` of these integers, in rows of so many, and its scales.
fn scaled_file(small: &[i8], row: usize, scales: &[f32]) -> Vec<u8> {
	let (rows, start) = (small.len() / row, 4 * scales.len());
	let tensor = |dtype: &str, row: usize, start: usize, end: usize| {
		format!(r#"{{"dtype":"{dtype}","shape":[{rows},{row}],"data_offsets":[{start},{end}]}}"#)
	};
	let listed = tensor("I8", row, start, start + small.len());
	let header = format!(r#"{{"w.scale":{},"w":{listed}}}"#, tensor("F32", 1, 0, start));
	let mut file = safetensors_of(&header, 0);
	file.extend(scales.iter().flat_map(|scale| scale.to_le_bytes()));
	file.extend(small.iter().map(|value| *value as u8));
	file
}

#[test]
fn small_integers_and_their_scales_go_both_ways_byte_by_byte() {
	// None of these rows would be made of the values that it stands for.
	let (small, scales) = ([-128i8, 5, 0, 1, 2, 3], [0.5f32, -0.25]);
	let given = scaled_file(&small, 3, &scales);
	let source = Safetensors::new(given.clone()).unwrap();
	let (folder, components) = imported(&source, options(DType::I8));
	let payload = TileFile::open(folder.path().join("w.blyt")).unwrap().payload().to_vec();
	assert_eq!(payload[..6], small.map(|value| value as u8));
	assert_eq!(payload[256..264], scales.map(f32::to_le_bytes).concat());
	assert_eq!(components.read(0).unwrap(), source.read(0).unwrap());
	assert_eq!(components.read(0).unwrap().floats(), [-64.0, 2.5, 0.0, -0.25, -0.5, -0.75]);

	let export = Export::new(&components, Some(DType::I8), Overflow::Refuse).unwrap();
	let names: Vec<&str> = export.entries().iter().map(|entry| entry.name.as_str()).collect();
	assert_eq!(names, ["w.scale", "w"]);
	let out = folder.path().join("out.safetensors");
	write_file(&out, &components, &export).unwrap();
	let written = fs::read(&out).unwrap();
	assert!(written.ends_with(&given[given.len() - 14..]));
	let (_again, again) = imported(&Safetensors::new(written).unwrap(), options(DType::I8));
	let root = |components: &Components| components.list().components()[0].root;
	assert_eq!(root(&again), root(&components));
	// Other types are made of the values.
	let (_floats, floats) = imported(&source, options(DType::F16));
	assert_eq!(floats.read(0).unwrap().floats(), components.read(0).unwrap().floats());
}

#[test]
fn rows_and_scales_of_many_tensors_come_back() {
	let mut source = Memory::new(&[
		("layers.0.a", &[0.1, -3.0, 2.0, 0.0, -0.0, 0.0]),
		("layers.0.b", &[1.5]),
		("c", &[1e-30, 1e30, 7.0]),
	]);
	source.entries[0].shape = vec![2, 3];
	source.entries[1].shape = Vec::new();
	let (folder, components) = imported(&source, options(DType::I8));
	let export = Export::new(&components, Some(DType::I8), Overflow::Refuse).unwrap();
	let shapes: Vec<&[u64]> = export.entries().iter().map(|entry| &entry.shape[..]).collect();
	let expected: [&[u64]; 6] = [&[2, 1], &[], &[1], &[2, 3], &[], &[3]];
	assert_eq!(shapes, expected);
	let out = folder.path().join("out.safetensors");
	write_file(&out, &components, &export).unwrap();
	let back = Safetensors::open(&out).unwrap();
	assert_eq!(back.entries(), components.entries());
	let (_again, again) = imported(&back, options(DType::I8));
	let roots = |components: &Components| -> Vec<_> {
		components.list().components().iter().map(|part| part.root).collect()
	};
	assert_eq!(roots(&again), roots(&components));
}

#[test]
fn small_integers_that_cannot_be_written_or_read_are_refused() {
	let written = |source: &dyn Source| Export::new(source, Some(DType::I8), Overflow::Refuse);
	let floats = Memory::new(&[("a", &[1.0])]);
	let no_i8 = problem(written(&floats));
	assert!(no_i8.contains("cannot be written as i8; import it as i8 first"), "{no_i8}");
	let one: &[f32] = &[1.0];
	let small = |names: &[&str]| {
		let tensors: Vec<(&str, &[f32])> = names.iter().map(|name| (*name, one)).collect();
		let mut source = Memory::new(&tensors);
		source.entries.iter_mut().for_each(|entry| entry.stored = Stored::I8);
		source
	};
	assert!(written(&small(&["a", "b"])).is_ok());
	let taken = problem(written(&small(&["a", "a.scale"])));
	assert!(taken.contains("\"a.scale\" occurs twice"), "{taken}");
	let long = "n".repeat(MAX_NAME_BYTES - 5);
	assert!(written(&small(&[&long[1..]])).is_ok());
	assert!(problem(written(&small(&[long.as_str()]))).contains("has a name of 257 bytes"));
	for scale in [f32::NAN, f32::INFINITY, f32::MAX] {
		let file = Safetensors::new(scaled_file(&[1, 2], 1, &[1.0, scale])).unwrap();
		let folder = tempfile::tempdir().unwrap();
		let refused = import(&file, folder.path(), &options(DType::I8), |_| ());
		assert!(problem(refused).contains("\"w\": value 1 is"), "{scale}");
	}
}

#[test]
fn components_longer_than_a_tile_have_the_root_of_their_payload() {
	let long: Vec<f32> = (0..1_500_000u32).map(|index| index as f32 / 16_777_216.0).collect();
	let source = Memory::new(&[("layers.0.a", &long[..1_100_001]), ("layers.0.b", &long)]);
	let (folder, components) = imported(&source, Options::default());
	let file = TileFile::open(folder.path().join("layer.0.blyt")).unwrap();
	assert_eq!(file.root(), components.list().components()[0].root);
	assert_eq!(file.weights().unwrap()[..3], [0, 1, 2]);
	assert_eq!(bits(&components.read(1).unwrap().floats()), bits(&long));
}

#[test]
fn values_that_cannot_be_converted_are_named_with_their_tensor() {
	let folder = tempfile::tempdir().unwrap();
	let source = Memory::new(&[("fine", &[1.0]), ("model.layers.4.w", &[0.5, 500.0])]);
	let refused = import(&source, folder.path(), &Options::default(), |_| ());
	let message = refused.unwrap_err().to_string();
	assert!(message.contains("\"model.layers.4.w\": value 1 is 500"), "{message}");
	assert!(!folder.path().join("layer.4.blyt").exists());
	assert!(Components::open(folder.path()).is_err());
	let saturate = Options { overflow: Overflow::Saturate, ..Options::default() };
	let (_folder, components) = imported(&source, saturate);
	assert_eq!(components.read(1).unwrap().floats(), [0.5, 128.0]);
	let fewer = Options { fraction_bits: 20, ..Options::default() };
	let (_folder, components) = imported(&source, fewer);
	assert_eq!(components.read(1).unwrap().floats(), [0.5, 500.0]);

	let mut short = Memory::new(&[("w", &[1.0, 2.0])]);
	short.entries[0].shape = vec![3];
	let refused = import(&short, folder.path(), &Options::default(), |_| ());
	assert!(refused.unwrap_err().to_string().contains("has 2 values where 3"));
	let none = import(&Memory::new(&[]), folder.path(), &Options::default(), |_| ());
	assert!(none.unwrap_err().to_string().contains("no tensors"));
	let twice = Memory::new(&[("w", &[1.0]), ("w", &[1.0])]);
	let refused = import(&twice, folder.path(), &Options::default(), |_| ());
	assert!(refused.unwrap_err().to_string().contains("occurs twice"));
	let mut stated = Memory::new(&[("w", &[1.0])]);
	stated.metadata.insert(COMPONENTS_KEY.to_owned(), String::from("../w:1"));
	let refused = import(&stated, folder.path(), &Options::default(), |_| ());
	assert!(refused.unwrap_err().to_string().contains("names components"));
}

/// Two components, of which the second cannot be read.
struct Broken(Memory);

impl Source for Broken {
	fn entries(&self) -> &[Entry] {
		self.0.entries()
	}

	fn metadata(&self) -> &BTreeMap<String, String> {
		self.0.metadata()
	}

	fn read(&self, place: usize) -> Result<Values> {
		if place == 0 {
			self.0.read(place)
		} else {
			Err(Error::tensor("layers.1.w", "is gone"))
		}
	}
}

#[test]
fn import_into_a_folder_of_components_leaves_them_as_they_are() {
	let source = |first: f32| Memory::new(&[("layers.0.w", &[first]), ("layers.1.w", &[2.0])]);
	let (folder, _) = imported(&source(1.0), Options::default());
	for other in [&Broken(source(3.0)) as &dyn Source, &source(3.0)] {
		let refused = problem(import(other, folder.path(), &Options::default(), |_| ()));
		assert!(refused.contains("has components already"), "{refused}");
		assert_eq!(all_floats(&Components::open(folder.path()).unwrap()), [1.0, 2.0]);
	}
	// What an import that ended half-way has left is in nobody's way.
	let folder = tempfile::tempdir().unwrap();
	let refused = import(&Broken(source(1.0)), folder.path(), &Options::default(), |_| ());
	assert!(problem(refused).contains("is gone"));
	assert!(folder.path().join("layer.0.blyt").exists());
	import(&source(3.0), folder.path(), &Options::default(), |_| ()).unwrap();
	assert_eq!(all_floats(&Components::open(folder.path()).unwrap()), [3.0, 2.0]);
}

#[test]
fn exports_that_would_lose_what_they_are_told_to_keep_are_refused() {
	let mut source = Memory::new(&[("a", &[1.0]), ("b", &[1.0])]);
	for (entry, bits) in source.entries.iter_mut().zip([24, 20]) {
		(entry.stored, entry.fraction_bits) = (Stored::I32, bits);
	}
	let refused = Export::new(&source, None, Overflow::Refuse);
	assert!(refused.unwrap_err().to_string().contains("other fraction bits"));
	assert!(Export::new(&source, Some(DType::F32), Overflow::Refuse).is_ok());
	let folder = tempfile::tempdir().unwrap();
	let file = folder.path().join("a.safetensors");
	let kept = Memory::new(&[("__metadata__", &[1.0])]);
	let export = Export::new(&kept, None, Overflow::Refuse).unwrap();
	let refused = write_file(&file, &kept, &export);
	assert!(refused.unwrap_err().to_string().contains("rename"));
	let large = Memory::new(&[("a", &[1e6])]);
	let export = Export::new(&large, Some(DType::F16), Overflow::Refuse).unwrap();
	let refused = write_file(&file, &large, &export);
	assert!(matches!(refused, Err(Error::Value { .. })));
	assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// Opens a folder whose list has other text.
fn with_list(folder: &Path, text: &str) -> Result<Components> {
	fs::write(folder.join(LIST_FILE), text).unwrap();
	Components::open(folder)
}

#[test]
fn lists_that_lie_are_refused() {
	let tensors: [(&str, &[f32]); 3] =
		[("layers.0.a", &[1.0; 65]), ("layers.0.b", &[2.0; 3]), ("c", &[3.0])];
	let source = Memory::new(&tensors);
	let (folder, _) = imported(&source, Options::default());
	let folder = folder.path();
	let whole = fs::read_to_string(folder.join(LIST_FILE)).unwrap();
	assert!(with_list(folder, &whole).is_ok());
	for (from, to, complaint) in [
		("\"version\": 2", "\"version\": 1", "version 1 of the list is unknown"),
		("\"version\": 2", "\"version\": 3", "version 3 of the list is unknown"),
		("\"dtype\": \"i32\"", "\"dtype\": \"f32\"", "the header of its file"),
		("\"dtype\": \"i32\"", "\"dtype\": \"q4_0\"", "q4_0"),
		("\"fraction_bits\": 24", "\"fraction_bits\": 25", "with 25 fraction bits"),
		("      \"dtype\": \"i32\",\n", "", "missing field `dtype`"),
		("\"layer.0\"", "\"../layer.0\"", "no name of a component"),
		("\"c\",\n      \"root\"", "\"layer.0\",\n      \"root\"", "listed twice"),
		("\"layers.0.b\"", "\"layers.0.a\"", "occurs twice"),
		("\"offset\": 512", "\"offset\": 0", "lies at 512, not at 0"),
		("\"offset\": 512", "\"offset\": 300", "lies at 512"),
		("        65\n", "        66,\n1000\n", "its tensors take"),
		("        65\n", "        0\n", "has no values"),
		("        65\n", "        18446744073709551615, 2\n", "the shape is damaged"),
		("        65\n", "        1, 1, 1, 1, 1, 1, 1, 1, 65\n", "more than 8 dimensions"),
		("\"source\": \"f32\"", "\"source\": \"q9\"", "q9"),
		("\"offset\"", "\"offset\": 0, \"extra\"", "extra"),
		("{", "", "invalid type"),
	] {
		assert!(whole.contains(from), "{from:?} is not in {whole}");
		let refused = with_list(folder, &whole.replacen(from, to, 1));
		let message = problem(refused);
		assert!(message.contains(complaint), "{from} to {to}: {message}");
	}
	for length in 0..whole.len() - 2 {
		assert!(with_list(folder, &whole[..length]).is_err(), "cut to {length}");
	}
	for offset in 0..whole.len() {
		let mut damaged = whole.clone().into_bytes();
		damaged[offset] ^= 1;
		fs::write(folder.join(LIST_FILE), damaged).unwrap();
		if let Ok(components) = Components::open(folder) {
			Seen::new(&components);
		}
	}
}

#[test]
fn lists_of_the_first_version_are_to_be_imported_again() {
	let folder = tempfile::tempdir().unwrap();
	let list = r#"{"version":1,"components":[{"name":"w","root":"0x00","tensors":[]}]}"#;
	let message = problem(with_list(folder.path(), list));
	assert!(message.contains("version 1 of the list is unknown"), "{message}");
	assert!(message.ends_with("import them again"), "{message}");
}

#[test]
fn damaged_components_are_refused() {
	let source = Memory::new(&[("w", &[1.0; 64])]);
	for dtype in [DType::I32, DType::I8, DType::F16, DType::Bf16, DType::F32] {
		let (folder, _) = imported(&source, options(dtype));
		let path = folder.path().join("w.blyt");
		let whole = fs::read(&path).unwrap();
		// Every bit of the fields, of which no root but the list tells what they must be.
		let fields = (0..80).flat_map(|offset| (0..8).map(move |bit| (offset, bit)));
		let others = (80..100).chain(4_090..whole.len()).map(|offset| (offset, offset % 8));
		for (offset, bit) in fields.chain(others) {
			let mut damaged = whole.clone();
			damaged[offset] ^= 1 << bit;
			fs::write(&path, &damaged).unwrap();
			let refused = Components::open(folder.path()).is_err();
			assert!(refused, "{dtype:?}, bit {bit} of byte {offset}");
		}
		for length in [0, 79, 4_095, 4_096, whole.len() - 1] {
			fs::write(&path, &whole[..length]).unwrap();
			assert!(Components::open(folder.path()).is_err(), "{dtype:?}, cut to {length}");
		}
		fs::remove_file(&path).unwrap();
		assert!(problem(Components::open(folder.path())).contains("w.blyt"));
	}
}

/// Writes other bytes at a place of a component's payload, with the root that it then has, and names
/// that in the list as well.
fn rewritten(folder: &Path, name: &str, at: usize, byte: u8) -> Result<Components> {
	let path = folder.join(format!("{name}.blyt"));
	let whole = fs::read(&path).unwrap();
	let (head, payload) = whole.split_at(HEADER_BYTES);
	let mut payload = payload.to_vec();
	payload[at] = byte;
	let mut header = Header::decode(head).unwrap();
	let before = header.root;
	header.root = bytes_root(&payload).unwrap();
	fs::write(&path, [header.encode().unwrap(), payload].concat()).unwrap();
	let list = fs::read_to_string(folder.join(LIST_FILE)).unwrap();
	let [before, after] = [before, header.root].map(|root| format!("{root:?}"));
	assert!(list.contains(&before));
	let opened = with_list(folder, &list.replace(&before, &after));
	fs::write(&path, &whole).unwrap();
	fs::write(folder.join(LIST_FILE), list).unwrap();
	opened
}

#[test]
fn padding_that_is_not_zero_is_refused() {
	let tensors: [(&str, &[f32]); 3] =
		[("layers.0.a", &[1.0; 65]), ("layers.0.b", &[2.0; 3]), ("layers.0.c", &[3.0; 64])];
	for (dtype, held) in [
		(DType::I32, vec![0..260, 512..524, 768..1_024]),
		(DType::F16, vec![0..130, 256..262, 512..640]),
		(DType::I8, vec![0..65, 256..259, 512..576, 768..772, 1_024..1_028, 1_280..1_284]),
	] {
		let (folder, components) = imported(&Memory::new(&tensors), options(dtype));
		let (folder, list) = (folder.path(), components.list().clone());
		// The file is about to change, so nobody may have it mapped.
		drop(components);
		let payload = TileFile::open(folder.join("layer.0.blyt")).unwrap().payload().len();
		for at in 0..payload {
			let refused = rewritten(folder, "layer.0", at, 7);
			if held.iter().any(|range: &Range<usize>| range.contains(&at)) {
				assert!(refused.is_ok(), "{dtype:?}, byte {at}");
			} else {
				let expected = format!("byte {at} of the payload is beside its tensors");
				let message = problem(refused);
				assert!(message.contains("layer.0.blyt is refused"), "{dtype:?}: {message}");
				assert!(message.contains(&expected), "{dtype:?}: {message}");
			}
		}
		assert_eq!(Components::open(folder).unwrap().list(), &list);
	}
}

#[test]
fn scales_that_begin_elsewhere_than_behind_the_tensors_are_refused() {
	// 512 bytes of elements and 512 of scales, or 256 and 768: the bytes are as many.
	let tensors: [(&str, &[f32]); 2] = [("layers.0.a", &[1.0; 256]), ("layers.0.b", &[2.0; 256])];
	let (folder, _) = imported(&Memory::new(&tensors), options(DType::I8));
	let path = folder.path().join("layer.0.blyt");
	let whole = fs::read(&path).unwrap();
	let (head, payload) = whole.split_at(HEADER_BYTES);
	let header = Header::decode(head).unwrap();
	assert_eq!((header.scales_offset, header.payload_bytes), (512, 1_024));
	let shape = vec![256u32].try_into().unwrap();
	let other = Header { shape, scales_offset: 256, ..header };
	fs::write(&path, [&other.encode().unwrap()[..], payload].concat()).unwrap();
	let message = problem(Components::open(folder.path()));
	assert!(message.contains("the header of its file is not that of these tensors"), "{message}");
}

#[test]
fn differences_are_measured_and_what_is_missing_is_named() {
	let first = Memory::new(&[("same", &[1.0, f32::NAN]), ("far", &[1.0, -2.0]), ("a", &[0.0])]);
	let second: [(&str, &[f32]); 3] =
		[("b", &[0.0]), ("far", &[1.5, 2.0]), ("same", &[1.0, f32::NAN])];
	let mut second = Memory::new(&second);
	let mut names = Vec::new();
	let found = compare(&first, &second, None, |difference| names.push(difference.tensor.clone()));
	let found = found.unwrap();
	assert_eq!(names, ["same", "far", "a", "b"]);
	let same = Measured { values: 2, ..Measured::default() };
	assert_eq!(found[0].found, Found::Both(same));
	let far = Measured {
		values: 2,
		unequal: 2,
		largest_absolute: 4.0,
		largest_relative: 2.0,
		intolerable: 0,
	};
	assert_eq!(found[1].found, Found::Both(far));
	assert_eq!(found[2].found, Found::OnlyFirst);
	assert_eq!(found[3].found, Found::OnlySecond);
	second.entries[1].shape = vec![1, 2];
	let found = compare(&first, &second, None, |_| ()).unwrap();
	let shapes = Found::Shapes { first: vec![2], second: vec![1, 2] };
	assert_eq!(found[1].found, shapes);

	let zero = Values::Fixed { values: vec![0, 1], fraction_bits: 24 };
	let one = Values::Float(vec![2f32.powi(-24), f32::INFINITY]);
	assert_eq!(measure(&zero, &Values::Float(vec![0.0]), 1, None), None);
	let measured = measure(&zero, &one, 1, None).unwrap();
	assert_eq!((measured.unequal, measured.largest_absolute), (2, f64::INFINITY));
}

#[test]
fn what_is_farther_than_rounding_explains_is_counted() {
	let beyond = |first: &[f32], second: &Values, row: usize, tolerance: Tolerance| {
		measure(&Values::Float(first.to_vec()), second, row, Some(tolerance)).unwrap().intolerable
	};
	let floats = |values: &[f32]| Values::Float(values.to_vec());
	let first = [1.0f32, -4.0, 0.5];
	// Half of the distance between two values of f16 is 2^−11 at 1 and 2^−9 at 4, of bf16 2^−8 and
	// 2^−6.
	let second = floats(&[1.0 + 2f32.powi(-10), -4.0 - 2f32.powi(-7), 0.5]);
	for (tolerance, expected) in [
		(Tolerance::Rounding(DType::F32), 2),
		(Tolerance::Rounding(DType::F16), 2),
		(Tolerance::Rounding(DType::Bf16), 0),
		(Tolerance::Absolute(0.0), 2),
		(Tolerance::Absolute(2f64.powi(-10)), 1),
		(Tolerance::Absolute(1.0), 0),
	] {
		assert_eq!(beyond(&first, &second, 3, tolerance), expected, "{tolerance}");
	}
	// Half of a scale is 2 / 127 for the whole row, and 0.5 / 127 and less for its single values.
	let small = Tolerance::Rounding(DType::I8);
	let second = floats(&[1.0 + 1.9 / 127.0, -4.0, 0.5 + 2.1 / 127.0]);
	assert_eq!(beyond(&first, &second, 3, small), 1);
	assert_eq!(beyond(&first, &second, 1, small), 2);
	// Half of a unit, of as many fraction bits as the second has; none of a float.
	let fixed = Tolerance::Rounding(DType::I32);
	let second = Values::Fixed { values: vec![5, -15, 2], fraction_bits: 2 };
	assert_eq!(beyond(&[1.125, -4.0, 0.5], &second, 3, fixed), 1);
	assert_eq!(beyond(&[1.0], &floats(&[1.0 + 2f32.powi(-20)]), 1, fixed), 1);
	// What is not finite stays so.
	for (first, second, expected) in [
		(f32::INFINITY, 1.0, 1),
		(1.0, f32::NAN, 1),
		(f32::NAN, 1.0, 1),
		(f32::NAN, f32::NAN, 0),
		(f32::INFINITY, f32::INFINITY, 0),
	] {
		for dtype in [DType::I8, DType::F16] {
			let tolerance = Tolerance::Rounding(dtype);
			assert_eq!(beyond(&[first], &floats(&[second]), 1, tolerance), expected);
		}
	}
}
