//! Files of weights, read once more and naively: what the readers of `tiles` find is compared with
//! this. It checks nothing, so it is for files that they have accepted.

use crate::input::Input;
use ::safetensors::{tensor::Dtype, SafeTensorError, SafeTensors};
use blyan_tiles::{
	convert::Values,
	interchange::{Entry, Stored, FRACTION_BITS_KEY},
};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// The tensors of a file by name, each with its bytes. The scales of `i8` are tensors among them.
pub(crate) type Tensors<'a> = BTreeMap<String, (Entry, &'a [u8])>;

/// Bytes before the header of a file of safetensors.
const LENGTH_BYTES: usize = 8;
/// Bytes before the list of a file of burn-pack, and what its tensors are aligned to.
const HEAD_BYTES: usize = 10;
const ALIGNMENT_BYTES: usize = 256;

// ---- files ----------------------------------------------------------------------------------

/// A file of safetensors, as the format's own crate reads it. None if that cannot read the JSON, for
/// what is in fields that nobody knows, such as values that are nested too deep.
pub(crate) fn safetensors(file: &[u8]) -> Option<Tensors<'_>> {
	let (header, listed) = match SafeTensors::read_metadata(file) {
		Ok(read) => read,
		Err(SafeTensorError::InvalidHeaderDeserialization(_)) => return None,
		Err(other) => panic!("the format's own crate refuses it: {other}"),
	};
	let data = &file[LENGTH_BYTES + header..];
	let stated = listed.metadata().as_ref().and_then(|stated| stated.get(FRACTION_BITS_KEY));
	let tensors = listed.tensors().into_iter().map(|(name, info)| {
		let stored = match info.dtype {
			Dtype::I32 => Stored::I32,
			Dtype::I8 => Stored::I8,
			Dtype::F16 => Stored::F16,
			Dtype::BF16 => Stored::Bf16,
			Dtype::F32 => Stored::F32,
			other => panic!("{other} is not read"),
		};
		let shape = info.shape.iter().map(|extent| *extent as u64).collect();
		let fraction_bits = fraction_bits(stored, stated);
		let entry = Entry { name: name.clone(), shape, stored, fraction_bits };
		(name, (entry, &data[info.data_offsets.0..info.data_offsets.1]))
	});
	Some(tensors.collect())
}

/// The list of a folder of components: the tensors that its JSON names, in the payloads of the
/// components.
pub(crate) fn components<'a>(list: &[u8], payloads: &'a BTreeMap<String, Vec<u8>>) -> Tensors<'a> {
	let list: Value = serde_json::from_slice(list).expect("the list was read");
	let array = |value: &Value| value.as_array().cloned().expect("an array was read");
	let number = |value: &Value| value.as_u64().expect("a number was read");
	let string = |value: &Value| value.as_str().map(str::to_owned).expect("a name was read");
	let mut tensors = Tensors::new();
	for component in array(&list["components"]) {
		// All that the files hold.
		assert_eq!(component["dtype"], "i32");
		let fraction_bits = number(&component["fraction_bits"]) as u8;
		let payload = &payloads[&string(&component["name"])];
		for tensor in array(&component["tensors"]) {
			let shape: Vec<u64> = array(&tensor["shape"]).iter().map(number).collect();
			let start = number(&tensor["offset"]) as usize;
			let bytes = &payload[start..start + 4 * shape.iter().product::<u64>() as usize];
			let name = string(&tensor["name"]);
			let entry = Entry { name: name.clone(), shape, stored: Stored::I32, fraction_bits };
			tensors.insert(name, (entry, bytes));
		}
	}
	tensors
}

/// The list of a file of burn-pack.
#[derive(Deserialize)]
struct Listed {
	tensors: BTreeMap<String, Descriptor>,
	#[serde(default)]
	metadata: BTreeMap<String, String>,
}

/// A tensor of that list.
#[derive(Deserialize)]
struct Descriptor {
	dtype: String,
	shape: Vec<u64>,
	data_offsets: (usize, usize),
}

/// A file of burn-pack.
pub(crate) fn burnpack(file: &[u8]) -> Tensors<'_> {
	let mut input = Input::new(file);
	// Magic and version.
	input.take(6);
	let length = input.u32() as usize;
	let listed: Listed = ciborium::from_reader(input.take(length)).expect("the list was read");
	let data = &file[(HEAD_BYTES + length).next_multiple_of(ALIGNMENT_BYTES).min(file.len())..];
	let stated = listed.metadata.get(FRACTION_BITS_KEY);
	let tensors = listed.tensors.into_iter().map(|(name, tensor)| {
		let stored = match tensor.dtype.as_str() {
			"I32" => Stored::I32,
			"I8" => Stored::I8,
			"F16" => Stored::F16,
			"BF16" => Stored::Bf16,
			"F32" | "Flex32" => Stored::F32,
			other => panic!("{other} is not read"),
		};
		let fraction_bits = fraction_bits(stored, stated);
		let entry = Entry { name: name.clone(), shape: tensor.shape, stored, fraction_bits };
		(name, (entry, &data[tensor.data_offsets.0..tensor.data_offsets.1]))
	});
	tensors.collect()
}

/// The fraction bits of a tensor in a file whose metadata states these.
fn fraction_bits(stored: Stored, stated: Option<&String>) -> u8 {
	match stored {
		Stored::I32 => stated.and_then(|stated| stated.parse().ok()).expect("they are stated"),
		_ => 0,
	}
}

/// A file of llama.cpp.
pub(crate) fn gguf(file: &[u8]) -> Tensors<'_> {
	let mut input = Input::new(file);
	// Magic and version.
	input.take(8);
	let (tensors, pairs) = (input.u64(), input.u64());
	let mut alignment = 32;
	for _ in 0..pairs {
		let key = string(&mut input);
		let kind = input.u32();
		if key == b"general.alignment" {
			alignment = input.u32();
		} else {
			pass(&mut input, kind);
		}
	}
	let mut described = Vec::new();
	for _ in 0..tensors {
		let name = String::from_utf8_lossy(string(&mut input)).into_owned();
		let rank = input.u32();
		let mut shape: Vec<u64> = (0..rank).map(|_| input.u64()).collect();
		shape.reverse();
		described.push((name, shape, input.u32(), input.u64()));
	}
	let head = file.len() - input.rest().len();
	let start = head.next_multiple_of(alignment as usize);
	let tensors = described.into_iter().map(|(name, shape, kind, offset)| {
		let (stored, values, bytes) = match kind {
			0 => (Stored::F32, 1, 4),
			1 => (Stored::F16, 1, 2),
			2 => (Stored::Q4_0, 32, 18),
			3 => (Stored::Q4_1, 32, 20),
			8 => (Stored::Q8_0, 32, 34),
			14 => (Stored::Q6K, 256, 210),
			30 => (Stored::Bf16, 1, 2),
			other => panic!("the type {other} is not read"),
		};
		let count: u64 = shape.iter().product();
		let from = start + offset as usize;
		let length = (count / values * bytes) as usize;
		let entry = Entry { name: name.clone(), shape, stored, fraction_bits: 0 };
		(name, (entry, &file[from..from + length]))
	});
	tensors.collect()
}

/// A string of such a file.
fn string<'a>(input: &mut Input<'a>) -> &'a [u8] {
	let length = input.u64();
	input.take(length as usize)
}

/// Passes a value of this type.
fn pass(input: &mut Input<'_>, kind: u32) {
	match kind {
		8 => {
			string(input);
		}
		9 => {
			let kind = input.u32();
			for _ in 0..input.u64() {
				pass(input, kind);
			}
		}
		_ => {
			input.take(match kind {
				0 | 1 | 7 => 1,
				2 | 3 => 2,
				4..=6 => 4,
				_ => 8,
			});
		}
	}
}

// ---- values ---------------------------------------------------------------------------------

/// The values of a tensor of these bytes.
pub(crate) fn values(entry: &Entry, bytes: &[u8], scales: &[u8]) -> Values {
	let shorts = bytes.chunks(2);
	let blocks = |value: fn(&[u8], usize) -> f64| -> Vec<f32> {
		(0..entry.count() as usize).map(|index| value(bytes, index) as f32).collect()
	};
	Values::Float(match entry.stored {
		Stored::I32 => {
			let values = bytes.chunks(4).map(|bytes| word(bytes) as i32).collect();
			return Values::Fixed { values, fraction_bits: entry.fraction_bits };
		}
		Stored::I8 => {
			let values = bytes.iter().map(|byte| *byte as i8).collect();
			let row = entry.shape.last().map_or(1, |extent| *extent as usize);
			return Values::Small { values, scales: floats(scales), row };
		}
		Stored::F32 => floats(bytes),
		Stored::F16 => shorts.map(|bytes| half(bytes) as f32).collect(),
		Stored::Bf16 => shorts.map(|bytes| f32::from_bits(u32::from(short(bytes)) << 16)).collect(),
		Stored::Q4_0 => blocks(q4_0),
		Stored::Q4_1 => blocks(q4_1),
		Stored::Q8_0 => blocks(q8_0),
		Stored::Q6K => blocks(q6_k),
	})
}

fn short(bytes: &[u8]) -> u16 {
	u16::from_le_bytes([bytes[0], bytes[1]])
}

fn word(bytes: &[u8]) -> u32 {
	u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

fn floats(bytes: &[u8]) -> Vec<f32> {
	bytes.chunks(4).map(|bytes| f32::from_bits(word(bytes))).collect()
}

/// The value of a binary16.
fn half(bytes: &[u8]) -> f64 {
	let bits = short(bytes);
	let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
	let fraction = f64::from(bits & 0x3ff) / 1024.0;
	let power = |exponent: u16| f64::from(1u32 << exponent) / 32_768.0;
	match (bits >> 10) & 0x1f {
		0 => sign * fraction * power(1),
		31 if fraction > 0.0 => f64::NAN,
		31 => sign * f64::INFINITY,
		exponent => sign * (1.0 + fraction) * power(exponent),
	}
}

/// The four bits of this value in 16 bytes.
fn nibble(bytes: &[u8], place: usize) -> f64 {
	f64::from((bytes[place % 16] >> (4 * (place / 16))) & 15)
}

// A value of blocks, exactly: no product or sum here leaves the 53 bits of an f64.

fn q4_0(bytes: &[u8], index: usize) -> f64 {
	let block = &bytes[index / 32 * 18..][..18];
	half(block) * (nibble(&block[2..], index % 32) - 8.0)
}

fn q4_1(bytes: &[u8], index: usize) -> f64 {
	let block = &bytes[index / 32 * 20..][..20];
	half(block) * nibble(&block[4..], index % 32) + half(&block[2..])
}

fn q8_0(bytes: &[u8], index: usize) -> f64 {
	let block = &bytes[index / 32 * 34..][..34];
	half(block) * f64::from(block[2 + index % 32] as i8)
}

fn q6_k(bytes: &[u8], index: usize) -> f64 {
	let block = &bytes[index / 256 * 210..][..210];
	let (part, run, place) = (index % 256 / 128, index % 128 / 32, index % 32);
	let low = (block[64 * part + 32 * (run % 2) + place] >> (4 * (run / 2))) & 15;
	let high = (block[128 + 32 * part + place] >> (2 * run)) & 3;
	let scale = f64::from(block[192 + index % 256 / 16] as i8);
	half(&block[208..]) * scale * (f64::from(16 * high + low) - 32.0)
}
