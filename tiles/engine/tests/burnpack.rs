//! Weights to burn-pack and back, and files of it that are damaged on purpose.

use blyan_engine::{burnpack::write_file, demo, Weights};
use blyan_primitives::{
	model::Architecture,
	tensor::{DType, FRACTION_BITS},
	H256,
};
use blyan_tiles::{
	convert::{Overflow, Values},
	interchange::{
		burnpack::{Burnpack, EXTENSION, VERSION},
		components::{import, Component, Components, List, Options, Tensor},
		safetensors::{self, Safetensors},
		Export, Source, Stored,
	},
	TileFile,
};
use burn_pack::{Bytes, DType as PackType, Tensor as PackTensor, Writer};
use std::{fs, path::Path, sync::Arc};

fn tiny() -> Architecture {
	Architecture {
		d_model: 16,
		layers: 1,
		heads: 2,
		context: 8,
		experts: 2,
		d_ff: 24,
		..demo::ARCHITECTURE
	}
}

/// A model's components in a folder, some of whose weights no float can express.
fn components(folder: &Path) -> Components {
	let mut weights = Weights::initial(&tiny(), H256([3; 32])).unwrap().components().to_vec();
	weights[0][..4].copy_from_slice(&[i32::MAX, i32::MIN, (1 << 25) + 1, -1]);
	let parts = tiny().components().into_iter().zip(&weights).map(|(component, weights)| {
		let file = folder.join(format!("{}.blyt", component.name));
		let tensors = component.tensors.iter().map(|tensor| Tensor {
			name: format!("{}.{}", component.name, tensor.name),
			shape: tensor.shape.map(u64::from).to_vec(),
			offset: tensor.offset_bytes,
			source: Stored::I32,
		});
		Component {
			root: TileFile::create(file, weights).unwrap(),
			dtype: DType::I32,
			fraction_bits: FRACTION_BITS,
			tensors: tensors.collect(),
			name: component.name.clone(),
		}
	});
	Components::with_list(folder, List::new(parts.collect())).unwrap()
}

/// Whether importing this source gives the same components.
fn gives_the_same(source: &dyn Source, components: &Components) -> bool {
	let folder = tempfile::tempdir().unwrap();
	let list = import(source, folder.path(), &Options::default(), |_| ()).unwrap();
	list == *components.list()
}

#[test]
fn heads_go_through_both_formats_without_a_loss() {
	let folder = tempfile::tempdir().unwrap();
	let components = Arc::new(components(folder.path()));
	let export = Export::new(&*components, None, Overflow::Refuse).unwrap();
	let burn = folder.path().join("model.bpk");
	write_file(&burn, &components, &export).unwrap();
	let read = Burnpack::open(&burn).unwrap();
	assert_eq!(read.entries(), components.entries());
	assert!(gives_the_same(&read, &components));

	let other = folder.path().join("model.safetensors");
	safetensors::write_file(&other, &read, &Export::new(&read, None, Overflow::Refuse).unwrap())
		.unwrap();
	assert!(gives_the_same(&Safetensors::open(&other).unwrap(), &components));
}

#[test]
fn small_integers_go_through_both_formats_byte_by_byte() {
	let folder = tempfile::tempdir().unwrap();
	let given = components(folder.path());
	let small = Options { dtype: DType::I8, ..Options::default() };
	let roots_of = |source: &dyn Source| -> Vec<H256> {
		let folder = tempfile::tempdir().unwrap();
		let list = import(source, folder.path(), &small, |_| ()).unwrap();
		list.components().iter().map(|component| component.root).collect()
	};
	let parts = folder.path().join("small");
	import(&given, &parts, &small, |_| ()).unwrap();
	let components = Arc::new(Components::open(&parts).unwrap());
	let expected = roots_of(&given);

	let burn = folder.path().join("model.bpk");
	let export = Export::new(&*components, Some(DType::I8), Overflow::Refuse).unwrap();
	write_file(&burn, &components, &export).unwrap();
	let read = Burnpack::open(&burn).unwrap();
	assert_eq!(read.entries(), components.entries());
	for place in 0..read.entries().len() {
		assert_eq!(read.read(place).unwrap(), components.read(place).unwrap());
	}
	assert_eq!(roots_of(&read), expected);

	let other = folder.path().join("model.safetensors");
	let export = Export::new(&read, Some(DType::I8), Overflow::Refuse).unwrap();
	safetensors::write_file(&other, &read, &export).unwrap();
	assert_eq!(roots_of(&Safetensors::open(&other).unwrap()), expected);
}

#[test]
fn values_are_those_of_the_file_that_was_opened() {
	let folder = tempfile::tempdir().unwrap();
	let components = Arc::new(components(folder.path()));
	let export = Export::new(&*components, None, Overflow::Refuse).unwrap();
	let path = folder.path().join("new/model.bpk");
	write_file(&path, &components, &export).unwrap();
	let read = Burnpack::open(&path).unwrap();
	// Another file has the name now, and then none has.
	let floats = Export::new(&*components, Some(DType::F16), Overflow::Refuse).unwrap();
	write_file(&path, &components, &floats).unwrap();
	assert!(gives_the_same(&read, &components));
	fs::remove_file(&path).unwrap();
	assert!(gives_the_same(&read, &components));
}

#[test]
fn files_that_were_cut_while_open_are_refused() {
	let folder = tempfile::tempdir().unwrap();
	let components = Arc::new(components(folder.path()));
	let export = Export::new(&*components, None, Overflow::Refuse).unwrap();
	let path = folder.path().join("model.bpk");
	write_file(&path, &components, &export).unwrap();
	let read = Burnpack::open(&path).unwrap();
	let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
	file.set_len(600).unwrap();
	let last = read.entries().len() - 1;
	let message = read.read(last).unwrap_err().to_string();
	assert!(message.contains("model.bpk"), "{message}");
}

#[test]
fn floats_of_a_file_are_the_nearest_of_the_weights() {
	let folder = tempfile::tempdir().unwrap();
	let components = Arc::new(components(folder.path()));
	for dtype in [DType::F32, DType::F16, DType::Bf16] {
		let export = Export::new(&*components, Some(dtype), Overflow::Refuse).unwrap();
		let file = folder.path().join("floats.burnpack");
		write_file(&file, &components, &export).unwrap();
		let read = Burnpack::open(&file).unwrap();
		for (place, entry) in components.entries().iter().enumerate() {
			let encoded = components
				.read(place)
				.unwrap()
				.encode(dtype, 0, entry.row() as usize, Overflow::Refuse)
				.unwrap();
			let expected = Values::decode(dtype, 0, &encoded.elements, &[], 1);
			assert_eq!(read.read(place).unwrap(), expected, "{}", entry.name);
		}
	}
}

#[test]
fn values_that_do_not_fit_are_named_and_leave_no_file() {
	let folder = tempfile::tempdir().unwrap();
	let path = folder.path().join("given.safetensors");
	let header = br#"{"a.w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
	let length = (header.len() as u64).to_le_bytes();
	fs::write(&path, [&length[..], header, &1e6f32.to_le_bytes()].concat()).unwrap();
	let given = Arc::new(Safetensors::open(&path).unwrap());
	let export = Export::new(&*given, Some(DType::F16), Overflow::Refuse).unwrap();
	let out = folder.path().join("out.bpk");
	let message = write_file(&out, &given, &export).unwrap_err().to_string();
	assert!(message.contains("a.w") && message.contains("1000000"), "{message}");
	assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// A file of these tensors, each of one value.
fn file_of(tensors: &[(&str, PackType, usize)]) -> Vec<u8> {
	let tensors = tensors.iter().map(|(name, dtype, bytes)| {
		let data = Bytes::from_bytes_vec(vec![0; *bytes]);
		PackTensor::new(name.to_string(), *dtype, vec![1], None, data)
	});
	Writer::new(tensors.collect()).into_bytes().unwrap().to_vec()
}

#[test]
fn reader_knows_the_format_of_burns_crate() {
	assert_eq!((EXTENSION, VERSION), (burn_pack::EXTENSION, burn_pack::FORMAT_VERSION));
}

#[test]
fn files_that_lie_are_refused() {
	let folder = tempfile::tempdir().unwrap();
	let path = folder.path().join("given.bpk");
	let refuse = |bytes: &[u8], complaint: &str| {
		fs::write(&path, bytes).unwrap();
		let message = match Burnpack::open(&path) {
			Ok(_) => panic!("{complaint}: not refused"),
			Err(error) => error.to_string(),
		};
		assert!(message.contains(complaint), "{complaint}: {message}");
	};
	refuse(&file_of(&[("a", PackType::I64, 8)]), "is i64");
	refuse(&file_of(&[("a", PackType::I32, 4)]), "fraction_bits");
	refuse(&file_of(&[("a", PackType::I8, 1)]), "no tensor \"a.scale\"");
	refuse(&file_of(&[("a", PackType::I8, 1), ("a.scale", PackType::F16, 2)]), "is no f32");
	let scales = |count: usize| {
		let small = Bytes::from_bytes_vec(vec![1; 4]);
		let scales = Bytes::from_bytes_vec(vec![0; 4 * count]);
		let tensors = vec![
			PackTensor::new("a".to_string(), PackType::I8, vec![2, 2], None, small),
			PackTensor::new("a.scale".to_string(), PackType::F32, vec![count], None, scales),
		];
		Writer::new(tensors).into_bytes().unwrap().to_vec()
	};
	for count in [1, 3] {
		refuse(&scales(count), &format!("has {count} scales for an i8 tensor of 2 rows"));
	}
	fs::write(&path, scales(2)).unwrap();
	let expected = Values::Small { values: vec![1; 4], scales: vec![0.0; 2], row: 2 };
	assert_eq!(Burnpack::open(&path).unwrap().read(0).unwrap(), expected);
	let deep = PackTensor::new(
		"a".to_string(),
		PackType::F32,
		vec![1; 9],
		None,
		Bytes::from_bytes_vec(vec![0; 4]),
	);
	let deep = Writer::new(vec![deep]).into_bytes().unwrap().to_vec();
	refuse(&deep, "more than 8 dimensions");
	let two = file_of(&[("a", PackType::F32, 4), ("b", PackType::F32, 4)]);
	// The keys of the map are texts of one byte.
	let place = two.windows(2).position(|pair| pair == [0x61, b'b']).unwrap();
	let mut twice = two.clone();
	twice[place + 1] = b'a';
	refuse(&twice, "occurs twice");
	// The second tensor begins at 256; its offsets are integers of two bytes.
	let place = two.windows(3).position(|bytes| bytes == [0x19, 1, 0]).unwrap();
	let mut overlapping = two.clone();
	overlapping[place..place + 3].copy_from_slice(&[0x19, 0, 0]);
	overlapping[place + 3..place + 6].copy_from_slice(&[0x19, 0, 4]);
	refuse(&overlapping, "shares bytes");
	// The second tensor is said to end at 261, and to begin at 65,280.
	let place = two.windows(6).position(|bytes| bytes == [0x19, 1, 0, 0x19, 1, 4]).unwrap();
	let mut longer = [two.clone(), vec![0; 16]].concat();
	longer[place + 5] = 5;
	refuse(&longer, "another number of bytes");
	let mut beyond = two.clone();
	beyond[place + 1..place + 6].copy_from_slice(&[0xff, 0, 0x19, 0xff, 4]);
	refuse(&beyond, "does not lie within");
	let mut newer = two.clone();
	newer[4] = 0xee;
	refuse(&newer, "is newer than");
	let mut long = two.clone();
	long[6..10].copy_from_slice(&u32::MAX.to_le_bytes());
	refuse(&long, "too long");
	refuse(b"NRUB", "ends before the header");
	refuse(b"GGUFGGUFGGUF", "magic");
}

#[test]
fn cut_and_flipped_files_are_refused_or_read_without_a_panic() {
	let folder = tempfile::tempdir().unwrap();
	let path = folder.path().join("given.bpk");
	let whole = file_of(&[("a", PackType::F32, 4), ("b", PackType::F16, 2)]);
	let read = |bytes: &[u8]| {
		fs::write(&path, bytes).unwrap();
		Burnpack::open(&path).is_ok_and(|file| {
			(0..file.entries().len()).all(|place| {
				let count = file.entries()[place].count();
				file.read(place).is_ok_and(|values| values.len() as u64 == count)
			})
		})
	};
	assert!(read(&whole));
	for length in 0..whole.len() {
		assert!(!read(&whole[..length]), "cut to {length}");
	}
	for offset in 0..whole.len() {
		for flip in [1, 0x10, 0x80] {
			let mut damaged = whole.clone();
			damaged[offset] ^= flip;
			read(&damaged);
		}
	}
}
