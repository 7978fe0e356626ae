//! Tile files as tensors, on the processor and, with the features `wgpu` and `cuda`, on a card.
//!
//! A machine without a card can run the test of `wgpu` on its processor, with Mesa's Vulkan:
//!
//! ```text
//! apt-get install mesa-vulkan-drivers
//! CUBECL_WGPU_DEFAULT_DEVICE=Cpu cargo test --package blyan-engine --features wgpu --test payload
//! ```

use blyan_engine::{
	demo,
	payload::{matrix, Payload},
	product::Matrix,
	Device, Error,
};
use blyan_primitives::{
	model::{Architecture, Component},
	tensor::{Compression, DType, Header, PayloadType, FRACTION_BITS},
};
use blyan_tiles::{
	convert::Values,
	hashing,
	interchange::{
		self,
		components::{import, Components, Options},
		Entry, Source, Stored,
	},
	TileFile,
};
use burn::tensor::{bf16, f16, Tensor};
use std::{collections::BTreeMap, fs, path::Path};

/// The header of a row of numbers.
fn header(dtype: DType, payload: &[u8]) -> Header {
	let count = payload.len() as u64 / dtype.element_bytes();
	Header {
		payload_type: PayloadType::TensorBlock,
		dtype,
		shape: vec![count as u32].try_into().unwrap(),
		fraction_bits: 0,
		compression: Compression::None,
		payload_bytes: payload.len() as u64,
		scales_offset: 0,
		root: hashing::root_of(payload).unwrap(),
	}
}

/// Writes a file and maps it.
fn file_of(path: &Path, header: &Header, payload: &[u8]) -> TileFile {
	fs::write(path, [header.encode().unwrap(), payload.to_vec()].concat()).unwrap();
	TileFile::open_verified(path, &header.root).unwrap()
}

/// An expert whose tensors begin and end where the buffers of every card may.
fn expert() -> Component {
	let architecture = Architecture {
		d_model: 64,
		layers: 1,
		heads: 2,
		context: 8,
		experts: 2,
		d_ff: 128,
		..demo::ARCHITECTURE
	};
	let mut components = architecture.components().into_iter();
	components.find(|component| component.name == "layer.0.expert.1").unwrap()
}

/// So many weights of all sizes, with the ends of the range and ties of every kind among them.
fn weights(count: usize) -> Vec<i32> {
	let number = |place: u32| (place.wrapping_mul(0x9e37_79b9) as i32) >> (place % 29);
	let mut weights: Vec<i32> = (0..count as u32).map(number).collect();
	let borders = [0, 1, -1, 1 << 24, 1 << 25, 1 << 26, i32::MAX - 63];
	let near = borders.iter().flat_map(|border| (0..4).map(move |step| border + step));
	let both = near.flat_map(|weight| [weight, -weight]).chain([i32::MAX, i32::MIN]);
	for (place, weight) in both.enumerate() {
		weights[place] = weight;
	}
	weights
}

/// The bits of the float nearest to a weight, ties to even.
fn bits_of_weight(weight: i32, fraction_bits: u8) -> u32 {
	((f64::from(weight) / 2f64.powi(fraction_bits.into())) as f32).to_bits()
}

fn bits<const D: usize>(tensor: Tensor<D>) -> Vec<u32> {
	tensor.try_into_vec_as::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
}

/// Where a tensor of an expert lies.
fn place(component: &Component, tensor: usize) -> Matrix {
	let spec = &component.tensors[tensor];
	let [rows, cols] = spec.shape.map(|extent| extent as usize);
	let weights = component.bytes as usize / 4;
	Matrix { weights, first: spec.offset_bytes as usize / 4, rows, cols }
}

/// Every weight of a component, and every one of its tensors, is the float that the engine computes
/// with on the processor.
fn weights_are_those_of_the_processor(device: &Device) {
	let folder = tempfile::tempdir().unwrap();
	let path = folder.path().join("expert.blyt");
	let component = expert();
	let weights = weights(component.bytes as usize / 4);
	TileFile::create(&path, &weights).unwrap();
	let payload = Payload::of(TileFile::open(&path).unwrap(), device).unwrap();
	let floats = payload.floats().unwrap();
	let expected: Vec<u32> = weights.iter().map(|w| bits_of_weight(*w, FRACTION_BITS)).collect();
	assert_eq!(bits(floats.clone()), expected);
	for tensor in 0..component.tensors.len() {
		let place = place(&component, tensor);
		let view = matrix(&floats, &place).unwrap();
		assert_eq!(view.dims(), [place.rows, place.cols]);
		let range = place.first..place.first + place.rows * place.cols;
		assert_eq!(bits(view), expected[range]);
	}

	// Other fraction bits than those of master weights.
	let payload: Vec<u8> = weights.iter().flat_map(|weight| weight.to_le_bytes()).collect();
	let header = Header { fraction_bits: 16, ..header(DType::I32, &payload) };
	let file = file_of(&path, &header, &payload);
	let floats = Payload::of(file, device).unwrap().floats().unwrap();
	let expected: Vec<u32> = weights.iter().map(|weight| bits_of_weight(*weight, 16)).collect();
	assert_eq!(bits(floats), expected);
}

/// The tensors of one component, in memory.
#[derive(Default)]
struct Given {
	entries: Vec<Entry>,
	metadata: BTreeMap<String, String>,
	values: Vec<Values>,
}

impl Given {
	/// Tensors with these rows, columns and numbers, row-major.
	fn new(tensors: &[([usize; 2], Vec<f32>)]) -> Self {
		let mut given = Self::default();
		for (place, (shape, values)) in tensors.iter().enumerate() {
			given.entries.push(Entry {
				name: format!("head.w{place}"),
				shape: shape.iter().map(|extent| *extent as u64).collect(),
				stored: Stored::F32,
				fraction_bits: 0,
			});
			given.values.push(Values::Float(values.clone()));
		}
		given
	}
}

impl Source for Given {
	fn entries(&self) -> &[Entry] {
		&self.entries
	}

	fn metadata(&self) -> &BTreeMap<String, String> {
		&self.metadata
	}

	fn read(&self, place: usize) -> interchange::Result<Values> {
		Ok(self.values[place].clone())
	}
}

/// Whether a device computes with an element type. WGSL, which `wgpu` compiles to, has neither
/// `bf16` nor integers of 8 bits, and `f16` where the card and its driver have it. The other
/// devices have them all.
fn computes_with(device: &Device, dtype: DType) -> bool {
	match (device.name(), dtype) {
		("wgpu", DType::Bf16 | DType::I8) => false,
		("wgpu", DType::F16) => device.tensors().supports_dtype(burn::tensor::DType::F16),
		_ => true,
	}
}

/// The payload of a file on a device; none if the device does not compute with its element type,
/// which is then refused by name.
fn payload_on(device: &Device, file: TileFile) -> Option<Payload> {
	let dtype = file.header().dtype;
	match (Payload::of(file, device), computes_with(device, dtype)) {
		(Ok(payload), true) => Some(payload),
		(Err(Error::NoTensor { device: named, .. }), false) if named == device.name() => None,
		(found, expected) => panic!("{dtype:?}: {found:?}, accepted: {expected}"),
	}
}

/// Tensors that are imported as this element type are on the device what they are when they are
/// converted on the processor, or the type is one that the device does not compute with.
fn tensors_are_those_of_the_component(
	device: &Device,
	dtype: DType,
	tensors: &[([usize; 2], Vec<f32>)],
) {
	let folder = tempfile::tempdir().unwrap();
	let options = Options { dtype, ..Options::default() };
	import(&Given::new(tensors), folder.path(), &options, |_| ()).unwrap();
	let components = Components::open(folder.path()).unwrap();
	let file = TileFile::open(folder.path().join("head.blyt")).unwrap();
	let shapes: Vec<[usize; 2]> = tensors.iter().map(|(shape, _)| *shape).collect();
	let Some(payload) = payload_on(device, file) else { return };
	for (place, matrix) in payload.matrices(&shapes).unwrap().into_iter().enumerate() {
		assert_eq!(matrix.dims(), shapes[place]);
		let expected = components.read(place).unwrap().floats();
		let expected: Vec<u32> = expected.into_iter().map(f32::to_bits).collect();
		assert_eq!(bits(matrix), expected, "{dtype:?}, tensor {place}");
	}
}

/// Tensors of every element type, with rows of one number, of zeros and of the largest floats of
/// `f16`.
fn tensors_of_every_type_are_right(device: &Device) {
	let numbers = |count: usize, scale: f32| -> Vec<f32> {
		let number = |place: u32| place.wrapping_mul(0x9e37_79b9) as i32 as f32 / 2f32.powi(31);
		(0..count as u32).map(|place| number(place) * scale).collect()
	};
	let tensors = [
		([1, 40], numbers(40, 2.0)),
		([70, 1], numbers(70, 4.0)),
		([2, 3], vec![0.0; 6]),
		([5, 65], numbers(325, 65_504.0)),
		([64, 16], numbers(1_024, 0.1)),
	];
	for dtype in [DType::F32, DType::F16, DType::Bf16, DType::I8] {
		tensors_are_those_of_the_component(device, dtype, &tensors);
	}
	// Master weights end at 128.
	let tensors = [tensors[0].clone(), tensors[1].clone(), tensors[4].clone()];
	tensors_are_those_of_the_component(device, DType::I32, &tensors);
}

/// Floats of a file are the floats on the device, or their type is one that the device does not
/// compute with.
fn floats_are_those_of_the_file(device: &Device) {
	let folder = tempfile::tempdir().unwrap();
	let path = folder.path().join("floats.blyt");
	let values: Vec<f32> = (0..640).map(|place| (place as f32 - 320.0) / 64.0).collect();
	let encode = |dtype: DType, value: f32| match dtype {
		DType::F16 => f16::from_f32(value).to_le_bytes().to_vec(),
		DType::Bf16 => bf16::from_f32(value).to_le_bytes().to_vec(),
		_ => value.to_le_bytes().to_vec(),
	};
	for dtype in [DType::F32, DType::F16, DType::Bf16] {
		let payload: Vec<u8> = values.iter().flat_map(|value| encode(dtype, *value)).collect();
		let file = file_of(&path, &header(dtype, &payload), &payload);
		let Some(payload) = payload_on(device, file) else { continue };
		// Ten bits are enough for every value, so nothing was rounded to `f16`.
		let stored = |value: f32| match dtype {
			DType::Bf16 => bf16::from_f32(value).to_f32(),
			_ => value,
		};
		let expected: Vec<u32> = values.iter().map(|value| stored(*value).to_bits()).collect();
		assert_eq!(bits(payload.floats().unwrap()), expected, "{dtype:?}");
	}
}

#[cfg(feature = "flex")]
mod processor {
	use super::*;
	use proptest::prelude::*;

	fn cpu() -> Device {
		Device::named("cpu").unwrap()
	}

	#[test]
	fn weights_and_floats_are_right() {
		weights_are_those_of_the_processor(&cpu());
		floats_are_those_of_the_file(&cpu());
		tensors_of_every_type_are_right(&cpu());
	}

	/// Rows, columns and numbers of a tensor: any floats that an `i8` can stand for.
	fn tensor() -> impl Strategy<Value = ([usize; 2], Vec<f32>)> {
		let sizes = prop::num::f32::NORMAL | prop::num::f32::SUBNORMAL | prop::num::f32::ZERO;
		let finite = sizes | prop::num::f32::POSITIVE | prop::num::f32::NEGATIVE;
		(1..20usize, 1..90usize).prop_flat_map(move |(rows, cols)| {
			(Just([rows, cols]), prop::collection::vec(finite, rows * cols))
		})
	}

	proptest! {
		#![proptest_config(ProptestConfig::with_cases(32))]

		#[test]
		fn any_row_times_its_scale_is_what_conversion_makes_of_it(
			tensors in prop::collection::vec(tensor(), 1..4),
		) {
			tensors_are_those_of_the_component(&cpu(), DType::I8, &tensors);
		}

		#[test]
		fn any_weight_is_the_nearest_float(
			some in prop::collection::vec(any::<i32>(), 1..200),
			fraction_bits in 0..=31u8,
		) {
			let folder = tempfile::tempdir().unwrap();
			let mut weights = some;
			weights.resize(weights.len().next_multiple_of(64), 0);
			let payload: Vec<u8> = weights.iter().flat_map(|w| w.to_le_bytes()).collect();
			let header = Header { fraction_bits, ..header(DType::I32, &payload) };
			let file = file_of(&folder.path().join("a.blyt"), &header, &payload);
			let floats = Payload::of(file, &cpu()).unwrap().floats().unwrap();
			let expected = weights.iter().map(|w| bits_of_weight(*w, fraction_bits));
			prop_assert_eq!(bits(floats), expected.collect::<Vec<u32>>());
		}
	}

	#[test]
	fn tensor_is_the_mapping_itself() {
		let folder = tempfile::tempdir().unwrap();
		let path = folder.path().join("a.blyt");
		let payload = [1u8; 512];
		for dtype in [DType::I32, DType::F32, DType::F16, DType::Bf16, DType::I8] {
			let header = match dtype {
				DType::I8 => scaled(&payload),
				_ => header(dtype, &payload),
			};
			let file = file_of(&path, &header, &payload);
			let mut mapped = file.payload().as_ptr();
			let parts = match Payload::of(file, &cpu()).unwrap() {
				Payload::Fixed { integers, .. } => vec![integers.into_data()],
				Payload::Floats(floats) => vec![floats.into_data()],
				Payload::Scaled { integers, scales } => {
					vec![integers.into_data(), scales.into_data()]
				}
			};
			let mut rest = &payload[..];
			for part in parts {
				assert_eq!(part.bytes().as_ptr(), mapped, "{dtype:?}");
				let (here, after) = rest.split_at(part.bytes().len());
				assert_eq!(part.bytes()[..], *here);
				mapped = mapped.wrapping_add(here.len());
				rest = after;
			}
			assert!(rest.is_empty(), "{dtype:?}");
		}
	}

	/// The header of 256 numbers and their scales.
	fn scaled(payload: &[u8]) -> Header {
		Header {
			shape: vec![256u32].try_into().unwrap(),
			scales_offset: 256,
			..header(DType::I8, payload)
		}
	}

	#[test]
	fn floats_of_a_plain_file_are_the_mapping_too() {
		let folder = tempfile::tempdir().unwrap();
		let path = folder.path().join("a.blyt");
		let payload = 1.5f32.to_le_bytes().repeat(64);
		let file = file_of(&path, &header(DType::F32, &payload), &payload);
		let mapped = file.payload().as_ptr();
		let floats = Payload::of(file, &cpu()).unwrap().floats().unwrap().into_data();
		assert_eq!(floats.bytes().as_ptr(), mapped);
	}

	#[test]
	fn rows_of_scaled_numbers_must_be_told() {
		let folder = tempfile::tempdir().unwrap();
		let path = folder.path().join("a.blyt");
		let payload = [1u8; 512];
		let open = || {
			let file = file_of(&path, &scaled(&payload), &payload);
			Payload::of(file, &cpu()).unwrap()
		};
		assert!(matches!(open().floats(), Err(Error::NoRows)));
		// 64 scales fit behind 256 numbers.
		assert_eq!(open().matrices(&[[64, 4]]).unwrap()[0].dims(), [64, 4]);
		assert!(open().matrices(&[[3, 70]]).is_ok());
		let wrong: [&[[usize; 2]]; 6] = [
			&[],
			&[[0, 4]],
			&[[65, 4]],
			&[[128, 2]],
			&[[64, 4], [1, 1]],
			&[[usize::MAX, usize::MAX]],
		];
		for shapes in wrong {
			let refused = open().matrices(shapes);
			assert!(matches!(refused, Err(Error::Matrix { .. })), "{shapes:?}");
		}
	}

	#[test]
	fn shapes_that_are_not_the_component_are_refused() {
		let folder = tempfile::tempdir().unwrap();
		let path = folder.path().join("a.blyt");
		TileFile::create(&path, &weights(192)).unwrap();
		let open = || Payload::of(TileFile::open(&path).unwrap(), &cpu()).unwrap();
		assert_eq!(open().matrices(&[[1, 60], [2, 33]]).unwrap()[1].dims(), [2, 33]);
		let wrong: [&[[usize; 2]]; 4] = [&[], &[[2, 64]], &[[4, 64]], &[[1, 192], [usize::MAX, 1]]];
		for shapes in wrong {
			let refused = open().matrices(shapes);
			assert!(matches!(refused, Err(Error::Matrix { weights: 192 })), "{shapes:?}");
		}
	}

	#[test]
	fn computing_leaves_the_file_as_it_is() {
		let folder = tempfile::tempdir().unwrap();
		let path = folder.path().join("a.blyt");
		let payload = 1.5f32.to_le_bytes().repeat(64);
		let header = header(DType::F32, &payload);
		// Nobody else has the tensor, so burn would change it in place if it were its own.
		let file = file_of(&path, &header, &payload);
		let floats = Payload::of(file, &cpu()).unwrap().floats().unwrap();
		let twice = floats.mul_scalar(2.0);
		assert_eq!(bits(twice), [3f32.to_bits(); 64]);
		TileFile::open_verified(&path, &header.root).unwrap();
	}

	#[test]
	fn what_is_no_tensor_is_refused() {
		let folder = tempfile::tempdir().unwrap();
		let path = folder.path().join("a.blyt");
		let payload = [1u8; 512];
		let opaque = Header { payload_type: PayloadType::Eeb, ..header(DType::F32, &payload) };
		let error = Payload::of(file_of(&path, &opaque, &payload), &cpu()).unwrap_err();
		assert!(matches!(error, Error::NoTensor { .. }), "{error}");
		assert!(error.to_string().contains("no tensor block"), "{error}");
	}

	#[test]
	fn matrix_that_is_not_in_the_component_is_refused() {
		let folder = tempfile::tempdir().unwrap();
		let path = folder.path().join("a.blyt");
		TileFile::create(&path, &weights(128)).unwrap();
		let file = TileFile::open(&path).unwrap();
		let floats = Payload::of(file, &cpu()).unwrap().floats().unwrap();
		let fits = Matrix { weights: 128, first: 0, rows: 4, cols: 32 };
		for wrong in [
			Matrix { weights: 192, ..fits },
			Matrix { first: 1, ..fits },
			Matrix { cols: 0, ..fits },
			Matrix { rows: usize::MAX, ..fits },
		] {
			let refused = matrix(&floats, &wrong);
			assert!(matches!(refused, Err(Error::Matrix { weights: 128 })), "{wrong:?}");
		}
		assert!(matrix(&floats, &fits).is_ok());
	}
}

/// One test for each card, since what a card counts is for all of it.
#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod card {
	use super::*;
	use allocation_counter::measure;

	/// Weights of a component that is far larger than whatever is allocated beside it, 4 MiB.
	const MANY_WEIGHTS: usize = 1 << 20;

	/// Live allocations of a card, and their bytes.
	fn in_use(device: &Device) -> (u64, u64) {
		let usage = device.tensors().memory_pool_usage().expect("a card counts its memory");
		(usage.number_allocs, usage.bytes_in_use)
	}

	/// A component of two tensors is one buffer, and its tensors need no other.
	fn component_is_one_buffer(device: &Device) {
		let folder = tempfile::tempdir().unwrap();
		let path = folder.path().join("expert.blyt");
		let component = expert();
		TileFile::create(&path, &weights(component.bytes as usize / 4)).unwrap();
		let open = || TileFile::open(&path).unwrap();
		// What a device makes when it is used first is not counted.
		let first = Payload::of(open(), device).unwrap();
		let (buffers, bytes) = in_use(device);
		let payload = Payload::of(open(), device).unwrap();
		assert_eq!(in_use(device), (buffers + 1, bytes + component.bytes));
		drop(first);

		let floats = payload.floats().unwrap();
		device.tensors().sync().unwrap();
		let (buffers, _) = in_use(device);
		let views: Vec<Tensor<2>> = (0..component.tensors.len())
			.map(|tensor| matrix(&floats, &place(&component, tensor)).unwrap())
			.collect();
		assert_eq!(views.len(), 2);
		// Fewer if the card has only now noticed what is no longer needed.
		assert!(in_use(device).0 <= buffers);
	}

	/// Nobody but the driver copies a component on its way to the card. What is counted is what
	/// this thread takes from Rust's allocator, which no memory of a driver comes from.
	fn component_is_not_copied_before_the_driver(device: &Device) {
		let folder = tempfile::tempdir().unwrap();
		let path = folder.path().join("large.blyt");
		TileFile::create(&path, &vec![1; MANY_WEIGHTS]).unwrap();
		let file = TileFile::open(&path).unwrap();
		let bytes = file.header().payload_bytes;
		let mut payload = None;
		let found = measure(|| payload = Some(Payload::of(file, device).unwrap())).bytes_total;
		assert!(found < bytes, "{found} bytes for a component of {bytes}");
		assert!(payload.is_some());
	}

	fn check(name: &str) {
		let device = Device::named(name).unwrap();
		component_is_one_buffer(&device);
		component_is_not_copied_before_the_driver(&device);
		weights_are_those_of_the_processor(&device);
		floats_are_those_of_the_file(&device);
		tensors_of_every_type_are_right(&device);
	}

	#[cfg(feature = "wgpu")]
	#[test]
	fn wgpu_has_the_numbers_of_the_file_in_one_buffer() {
		check("wgpu");
	}

	#[cfg(feature = "cuda")]
	#[test]
	fn cuda_has_the_numbers_of_the_file_in_one_buffer() {
		check("cuda");
	}
}
