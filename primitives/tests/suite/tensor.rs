//! Headers: every field, every refusal, and damage to every byte; and the geometry of leaves.

use blyan_primitives::{
	tensor::{
		check_padding, decode_weights, encode_weights, leaf_count, leaf_range, tile_count,
		tile_leaves, tile_range, Compression, DType, Error, ErrorKind, Header, PayloadType, Shape,
		HEADER_BYTES, MAX_PAYLOAD_BYTES,
	},
	tree::{bytes_root, LEAF_BYTES, TILE_BYTES, TILE_LEAVES},
	H256,
};
use proptest::{collection::vec, prelude::*};
use std::iter;

fn shape(dimensions: &[u32]) -> Shape {
	dimensions.to_vec().try_into().unwrap()
}

/// Bytes of 5 × 60 numbers of 4 bytes, and what they are padded to.
const LENGTH: usize = 5 * 60 * 4;
const PADDED: usize = 5 * 256;

/// No byte but those of the padding is zero.
fn payload() -> Vec<u8> {
	let mut payload: Vec<u8> = (0..LENGTH).map(|index| (index % 255) as u8 + 1).collect();
	payload.resize(PADDED, 0);
	payload
}

/// A header of `i32` weights, 5 × 60, that fits [`payload`].
fn weights() -> Header {
	Header {
		payload_type: PayloadType::TensorBlock,
		dtype: DType::I32,
		shape: shape(&[5, 60]),
		fraction_bits: 24,
		compression: Compression::None,
		payload_bytes: 5 * 256,
		scales_offset: 0,
		root: bytes_root(&payload()).unwrap(),
	}
}

/// A header of `i8` weights, 5 × 60 with 5 scales.
fn quantised() -> Header {
	Header {
		dtype: DType::I8,
		fraction_bits: 0,
		payload_bytes: 512 + 256,
		scales_offset: 512,
		..weights()
	}
}

/// A compressed stream.
fn stream() -> Header {
	Header {
		payload_type: PayloadType::TileStream,
		compression: Compression::Zstd,
		payload_bytes: 77,
		..weights()
	}
}

fn error(offset: u32, kind: ErrorKind) -> Error {
	Error { offset, kind }
}

/// The error of decoding `header` with `bytes` written at `offset`.
fn patched(header: &Header, offset: usize, bytes: &[u8]) -> Result<Header, Error> {
	let mut encoded = header.encode().unwrap();
	encoded[offset..offset + bytes.len()].copy_from_slice(bytes);
	Header::decode(&encoded)
}

#[test]
fn fields_are_where_the_table_says() {
	let bytes = quantised().encode().unwrap();
	assert_eq!(bytes.len(), HEADER_BYTES);
	assert_eq!(&bytes[0..8], b"BLYTILE\x01");
	assert_eq!(&bytes[8..12], &[0, 1, 0, 2]);
	assert_eq!(&bytes[12..28], &[5, 0, 0, 0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
	assert_eq!(&bytes[28..32], &[0, 0, 0, 0]);
	assert_eq!(&bytes[32..40], &768u64.to_le_bytes());
	assert_eq!(&bytes[40..48], &512u64.to_le_bytes());
	assert_eq!(&bytes[48..80], weights().root.as_bytes());
	assert!(bytes[80..].iter().all(|byte| *byte == 0));
	assert_eq!(weights().encode().unwrap()[28], 24);
	assert_eq!(&stream().encode().unwrap()[28..30], &[24, 1]);
}

#[test]
fn every_type_survives_its_byte() {
	for byte in 0..=u8::MAX {
		if let Some(found) = PayloadType::from_byte(byte) {
			assert_eq!(found.to_byte(), byte);
		}
		if let Some(found) = DType::from_byte(byte) {
			assert_eq!(found.to_byte(), byte);
			let header = Header {
				payload_type: PayloadType::Eeb,
				dtype: found,
				fraction_bits: 0,
				scales_offset: if found == DType::I8 { 512 } else { 0 },
				..weights()
			};
			assert_eq!(Header::decode(&header.encode().unwrap()), Ok(header));
		}
		if let Some(found) = Compression::from_byte(byte) {
			assert_eq!(found.to_byte(), byte);
		}
	}
}

#[test]
fn master_weights_have_one_dimension_and_24_fraction_bits() {
	let header = Header::weights(1280, H256::zero()).unwrap();
	assert_eq!(header.shape, shape(&[320]));
	assert_eq!((header.dtype, header.fraction_bits), (DType::I32, 24));
	assert_eq!(Header::decode(&header.encode().unwrap()), Ok(header));
	let refused = |bytes| Header::weights(bytes, H256::zero()).map(|header| header.payload_bytes);
	assert_eq!(refused(1281), Err(error(32, ErrorKind::PayloadBytes { found: 1281 })));
	assert_eq!(refused(4), Err(error(32, ErrorKind::PayloadBytes { found: 4 })));
	assert_eq!(refused(0), Err(error(12, ErrorKind::Dimension)));
	assert_eq!(refused(1 << 34), Err(error(12, ErrorKind::Shape)));
}

#[test]
fn unknown_values_are_refused_at_their_offset() {
	let header = weights();
	let refused = |offset, bytes: &[u8]| patched(&header, offset, bytes).unwrap_err();
	assert_eq!(refused(0, b"S"), error(0, ErrorKind::Magic));
	assert_eq!(refused(7, &[2]), error(7, ErrorKind::Version(2)));
	assert_eq!(refused(8, &[3]), error(8, ErrorKind::PayloadType(3)));
	assert_eq!(refused(9, &[5]), error(9, ErrorKind::DType(5)));
	assert_eq!(refused(10, &[1]), error(10, ErrorKind::Layout(1)));
	assert_eq!(refused(11, &[0]), error(11, ErrorKind::Rank(0)));
	assert_eq!(refused(11, &[5]), error(11, ErrorKind::Rank(5)));
	assert_eq!(refused(16, &[0]), error(16, ErrorKind::Dimension));
	assert_eq!(refused(25, &[1]), error(25, ErrorKind::NotZero));
	assert_eq!(refused(28, &[32]), error(28, ErrorKind::FractionBits(32)));
	assert_eq!(refused(29, &[2]), error(29, ErrorKind::Compression(2)));
	assert_eq!(refused(30, &[1]), error(30, ErrorKind::NotZero));
	assert_eq!(refused(31, &[1]), error(31, ErrorKind::NotZero));
	assert_eq!(refused(80, &[1]), error(80, ErrorKind::NotZero));
	assert_eq!(refused(4095, &[1]), error(4095, ErrorKind::NotZero));
}

#[test]
fn fields_that_contradict_each_other_are_refused() {
	let bytes = |found: u64| error(32, ErrorKind::PayloadBytes { found });
	let scales = |found: u64| error(40, ErrorKind::ScalesOffset(found));
	let refused = |header: Header| header.encode().unwrap_err();

	assert_eq!(refused(Header { shape: shape(&[]), ..weights() }), error(11, ErrorKind::Rank(0)));
	assert_eq!(
		refused(Header { shape: shape(&[5, 60, 0]), ..weights() }),
		error(20, ErrorKind::Dimension)
	);
	assert_eq!(
		refused(Header { shape: shape(&[u32::MAX; 4]), ..weights() }),
		error(12, ErrorKind::Shape)
	);
	assert_eq!(
		refused(Header { shape: shape(&[1 << 20, 1 << 20]), ..weights() }),
		error(12, ErrorKind::Shape)
	);
	assert_eq!(
		refused(Header { dtype: DType::F32, ..weights() }),
		error(28, ErrorKind::FractionBits(24))
	);
	assert_eq!(
		refused(Header { compression: Compression::Zstd, ..weights() }),
		error(29, ErrorKind::Compression(1))
	);

	assert_eq!(refused(Header { payload_bytes: 0, ..stream() }), bytes(0));
	let longest = MAX_PAYLOAD_BYTES;
	assert!(Header { payload_bytes: longest, ..stream() }.encode().is_ok());
	assert_eq!(refused(Header { payload_bytes: longest + 1, ..stream() }), bytes(longest + 1));
	assert_eq!(refused(Header { payload_bytes: 1200, ..weights() }), bytes(1200));
	assert_eq!(refused(Header { payload_bytes: 1536, ..weights() }), bytes(1536));
	assert_eq!(refused(Header { payload_bytes: 800, ..quantised() }), bytes(800));
	// 5 scales have one block of 256 bytes, and no more.
	for blocks in [2, 4_096] {
		let found = 512 + 256 * blocks;
		assert_eq!(refused(Header { payload_bytes: found, ..quantised() }), bytes(found));
	}

	assert_eq!(refused(Header { scales_offset: 256, ..weights() }), scales(256));
	assert_eq!(refused(Header { scales_offset: 0, ..quantised() }), scales(0));
	assert_eq!(refused(Header { scales_offset: 256, ..quantised() }), scales(256));
	assert_eq!(refused(Header { scales_offset: 300, ..quantised() }), scales(300));
	assert_eq!(refused(Header { scales_offset: 768, ..quantised() }), scales(768));
}

#[test]
fn scales_are_as_many_as_the_rows_of_the_last_dimension() {
	let header = |dimensions: &[u32], blocks: u64| {
		let elements: u64 = dimensions.iter().map(|extent| u64::from(*extent)).product();
		let scales_offset = elements.next_multiple_of(256);
		let payload_bytes = scales_offset + 256 * blocks;
		let shape = shape(dimensions);
		Header { shape, payload_bytes, scales_offset, ..quantised() }
	};
	let cases: [(&[u32], u64); 7] = [
		(&[1, 60], 1),
		(&[64, 60], 1),
		(&[65, 60], 2),
		(&[60, 65], 1),
		(&[64, 2, 1], 2),
		(&[3, 5, 7, 11], 2),
		(&[u32::MAX, 1], 1 << 26),
	];
	for (dimensions, blocks) in cases {
		let fits = header(dimensions, blocks);
		assert_eq!(Header::decode(&fits.encode().unwrap()), Ok(fits), "{dimensions:?}");
		for wrong in [blocks - 1, blocks + 1] {
			assert!(header(dimensions, wrong).encode().is_err(), "{dimensions:?}, {wrong} blocks");
		}
	}
	// One dimension may be of a component, whose tensors have at most a row for each element.
	for (blocks, fits) in [(0, false), (1, true), (8, true), (9, false)] {
		assert_eq!(header(&[300], blocks).encode().is_ok(), fits, "{blocks} blocks");
	}
}

#[test]
fn headers_cut_at_any_length_are_refused() {
	let mut bytes = weights().encode().unwrap();
	for length in 0..bytes.len() {
		let found = length as u64;
		let expected = error(length as u32, ErrorKind::HeaderLength { found });
		assert_eq!(Header::decode(&bytes[..length]), Err(expected));
	}
	bytes.push(0);
	let expected = error(4096, ErrorKind::HeaderLength { found: 4097 });
	assert_eq!(Header::decode(&bytes), Err(expected));
}

#[test]
fn a_flipped_byte_is_refused_or_says_something_else() {
	for header in [weights(), quantised(), stream()] {
		let bytes = header.encode().unwrap();
		for position in 0..bytes.len() {
			let mut flipped = bytes.clone();
			flipped[position] ^= 1 << (position % 8);
			match Header::decode(&flipped) {
				Err(_) => {}
				Ok(found) => {
					assert!((8..80).contains(&position), "byte {position} holds no field");
					assert_ne!(found, header, "byte {position}");
					assert_eq!(found.encode(), Ok(flipped), "byte {position}");
				}
			}
		}
	}
}

#[test]
fn flips_that_concern_the_payload_are_found_when_it_is_verified() {
	let bytes = weights().encode().unwrap();
	assert_eq!(weights().verify(&payload()), Ok(()));
	for position in (32..40).chain(48..80) {
		for bit in 0..8 {
			let mut flipped = bytes.clone();
			flipped[position] ^= 1 << bit;
			let verified = Header::decode(&flipped).and_then(|header| header.verify(&payload()));
			assert!(verified.is_err(), "bit {bit} of byte {position}");
		}
	}
}

#[test]
fn another_payload_is_refused() {
	let header = weights();
	let mut other = payload();
	other[7] ^= 1;
	assert_eq!(header.verify(&other), Err(error(48, ErrorKind::Root)));
	other.pop();
	let found = other.len() as u64;
	assert_eq!(header.verify(&other), Err(error(32, ErrorKind::PayloadBytes { found })));
}

/// What verifying says of a payload that the header states the root of.
fn verified(header: Header, payload: &[u8]) -> Result<(), Error> {
	let payload_bytes = payload.len() as u64;
	Header { payload_bytes, root: bytes_root(payload).unwrap(), ..header }.verify(payload)
}

#[test]
fn padding_that_is_not_zero_is_refused() {
	let refused = |found: usize| {
		let found = found as u64;
		Err(error(12, ErrorKind::Padding { found }))
	};
	for at in LENGTH..PADDED {
		let mut payload = payload();
		payload[at] = 1;
		assert_eq!(verified(weights(), &payload), refused(at));
	}
	// 300 elements and 5 scales, each with padding behind them.
	let held = |at: usize| at < 300 || (512..532).contains(&at);
	let genuine: Vec<u8> = (0..768).map(|at| u8::from(held(at))).collect();
	assert_eq!(verified(quantised(), &genuine), Ok(()));
	for at in (0..768).filter(|at| !held(*at)) {
		let mut payload = genuine.clone();
		payload[at] = 0x80;
		assert_eq!(verified(quantised(), &payload), refused(at));
	}
	// Of one dimension it is not known where rows end, but where elements do.
	let flat = || Header { shape: shape(&[300]), ..quantised() };
	let mut payload = vec![1; 768];
	assert_eq!(verified(flat(), &payload), refused(300));
	payload[300..512].fill(0);
	assert_eq!(verified(flat(), &payload), Ok(()));
	// What is no tensor block has no padding.
	let opaque = Header { payload_type: PayloadType::Eeb, ..weights() };
	assert_eq!(verified(opaque, &[1; PADDED]), Ok(()));
}

#[test]
fn bytes_beside_parts_are_refused_wherever_they_are() {
	let parts = || [2..4, 4..5, 8..9];
	assert_eq!(check_padding(&[0, 0, 1, 1, 1, 0, 0, 0, 1, 0], parts()), Ok(()));
	for at in [0, 1, 5, 6, 7, 9] {
		let mut payload = [0; 10];
		payload[at] = 1;
		let found = at as u64;
		let expected = error(12, ErrorKind::Padding { found });
		assert_eq!(check_padding(&payload, parts()), Err(expected));
	}
	// Parts that end behind the payload hold all of it.
	assert_eq!(check_padding(&[1; 3], iter::once(0..9)), Ok(()));
	assert_eq!(check_padding(&[], []), Ok(()));
}

#[test]
fn leaves_and_tiles_cover_a_payload() {
	let leaf = LEAF_BYTES as u64;
	let tile = TILE_BYTES as u64;
	for bytes in [1, leaf - 1, leaf, leaf + 1, tile - 1, tile, tile + 1, 3 * tile + leaf + 5] {
		let leaves: Vec<_> = (0..leaf_count(bytes)).map(|i| leaf_range(bytes, i)).collect();
		let mut end = 0;
		for range in leaves.iter().flatten() {
			assert_eq!(range.start, end);
			assert!(range.end > range.start && range.end - range.start <= leaf);
			end = range.end;
		}
		assert_eq!(end, bytes);
		assert_eq!(leaf_range(bytes, leaf_count(bytes)), None);

		let mut end = 0;
		for index in 0..tile_count(bytes) {
			let range = tile_range(bytes, index).unwrap();
			assert_eq!(range.start, end);
			end = range.end;
			let leaves = tile_leaves(bytes, index).unwrap();
			assert!(leaves.end - leaves.start <= TILE_LEAVES as u64);
			assert_eq!(leaf_range(bytes, leaves.start).unwrap().start, range.start);
			assert_eq!(leaf_range(bytes, leaves.end - 1).unwrap().end, range.end);
		}
		assert_eq!(end, bytes);
		assert_eq!(tile_range(bytes, tile_count(bytes)), None);
		assert_eq!(tile_leaves(bytes, tile_count(bytes)), None);
	}
	assert_eq!(leaf_count(0), 0);
	assert_eq!(leaf_range(u64::MAX, u64::MAX), None);
	assert_eq!(tile_range(0, 0), None);
}

#[test]
fn weights_are_little_endian() {
	assert_eq!(encode_weights(&[1, -2]), [1, 0, 0, 0, 254, 255, 255, 255]);
	assert_eq!(decode_weights(&[1, 0, 0, 0, 254, 255, 255, 255]), Some(vec![1, -2]));
	assert_eq!(decode_weights(&[]), Some(vec![]));
	for length in [1, 2, 3, 5, 7] {
		assert_eq!(decode_weights(&vec![0; length]), None);
	}
}

proptest! {
	#![proptest_config(ProptestConfig::with_cases(64))]

	#[test]
	fn valid_headers_survive(
		dimensions in vec(1u32..64, 1..=4),
		dtype in 0u8..5,
		fraction_bits in 0u8..32,
		root in any::<[u8; 32]>(),
		blocks in 1u64..=4,
	) {
		let dtype = DType::from_byte(dtype).unwrap();
		let rows: u64 = dimensions.iter().rev().skip(1).map(|extent| u64::from(*extent)).product();
		// One dimension may be of a component, with more rows than one.
		let many = dimensions.len() == 1;
		let scales = if many { 256 * blocks } else { (4 * rows).next_multiple_of(256) };
		let elements: u64 = dimensions.iter().map(|extent| u64::from(*extent)).product();
		let end = (elements * dtype.element_bytes()).next_multiple_of(256);
		let scaled = dtype == DType::I8;
		let header = Header {
			payload_type: PayloadType::TensorBlock,
			dtype,
			shape: shape(&dimensions),
			fraction_bits: if dtype == DType::I32 { fraction_bits } else { 0 },
			compression: Compression::None,
			payload_bytes: if scaled { end + scales } else { end },
			scales_offset: if scaled { end } else { 0 },
			root: H256(root),
		};
		prop_assert_eq!(Header::decode(&header.encode().unwrap()), Ok(header));
	}

	#[test]
	fn whatever_is_decoded_encodes_to_the_same_bytes(
		start in vec(any::<u8>(), 80),
		from in 0usize..80,
	) {
		let mut bytes = weights().encode().unwrap();
		bytes[from..80].copy_from_slice(&start[from..]);
		if let Ok(header) = Header::decode(&bytes) {
			prop_assert_eq!(header.encode(), Ok(bytes));
		}
	}
}
