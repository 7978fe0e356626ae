//! Records, shards and manifests: golden bytes, limits, hostile input.

use crate::support::hostile;
use blyan_primitives::{hash::blake2b_256, record::*, H256};
use codec::Encode;
use proptest::prelude::*;

fn text(text: &str) -> Record {
	Record::Text { text: text.into() }
}

fn instruction(instruction: &str, input: &str, output: &str) -> Record {
	Record::Instruction {
		instruction: instruction.into(),
		input: input.into(),
		output: output.into(),
	}
}

fn manifest() -> Manifest {
	Manifest {
		version: 1,
		name: b"test".to_vec().try_into().unwrap(),
		kind: DatasetKind::Text,
		licence: b"CC0-1.0".to_vec().try_into().unwrap(),
		language: b"en".to_vec().try_into().unwrap(),
		source: b"Gutenberg".to_vec().try_into().unwrap(),
		records: 100,
		bytes: 3_000,
		records_root: H256([1; 32]),
		shards: vec![
			ShardInfo { cid: H256([2; 32]), bytes: 2_000, records: 60 },
			ShardInfo { cid: H256([3; 32]), bytes: 1_000, records: 40 },
		]
		.try_into()
		.unwrap(),
		availability: Availability::Chain,
	}
}

/// The format, written down a second time.
fn naive(record: &Record) -> Vec<u8> {
	let (kind, fields) = match record {
		Record::Text { text } => (0u8, vec![text]),
		Record::Instruction { instruction, input, output } => (1, vec![instruction, input, output]),
	};
	let mut bytes = vec![kind];
	for field in fields {
		bytes.extend((field.len() as u32).to_le_bytes());
		bytes.extend(field.bytes());
	}
	bytes
}

fn any_record() -> impl Strategy<Value = Record> {
	prop_oneof![
		"\\PC{1,40}".prop_map(|t| text(&t)),
		("\\PC{1,20}", "\\PC{0,20}", "\\PC{1,20}").prop_map(|(a, b, c)| instruction(&a, &b, &c)),
	]
}

fn error(offset: usize, reason: Reason) -> DecodeError {
	DecodeError { offset, reason }
}

#[test]
fn records_have_their_golden_bytes() {
	let hello = text("hello");
	assert_eq!(hello.encode().unwrap(), b"\x00\x05\0\0\0hello");
	assert_eq!(
		format!("{:x}", hello.hash().unwrap()),
		"7e9711792cafffb25e7485753f17d01304355161d97d5d80648b5a7dbc93a026"
	);
	let sum = instruction("Add", "", "2");
	assert_eq!(sum.encode().unwrap(), b"\x01\x03\0\0\0Add\0\0\0\0\x01\0\0\x002");
	assert_eq!(
		format!("{:x}", sum.hash().unwrap()),
		"da40a7130f08dcf49047cd1fb420f8c01606191b62ea25b98568223c8f1eea6b"
	);
}

#[test]
fn records_refuse_every_cut_and_flip() {
	for record in [text("naïve — 日本"), instruction("Add one and one", "", "2")] {
		let bytes = record.encode().unwrap();
		hostile::cut_and_extend(&bytes, Record::decode);
		hostile::flip(
			&bytes,
			Record::decode,
			|other| other.encode().unwrap(),
			|other| assert_ne!(other.hash(), record.hash()),
		);
	}
}

#[test]
fn record_fields_that_carry_the_lesson_may_not_be_empty() {
	assert_eq!(text("").encode(), Err(RecordError::Empty("text")));
	assert_eq!(instruction("", "b", "c").encode(), Err(RecordError::Empty("instruction")));
	assert_eq!(instruction("a", "b", "").encode(), Err(RecordError::Empty("output")));
	assert!(instruction("a", "", "c").encode().is_ok());
	assert_eq!(Record::decode(&naive(&text(""))), Err(error(1, Reason::Empty)));
	assert_eq!(Record::decode(&naive(&instruction("", "b", "c"))), Err(error(1, Reason::Empty)));
	assert_eq!(Record::decode(&naive(&instruction("a", "b", ""))), Err(error(11, Reason::Empty)));
}

#[test]
fn records_take_at_most_64_kib() {
	let longest = text(&"x".repeat(MAX_RECORD_BYTES - 5));
	let bytes = longest.encode().unwrap();
	assert_eq!(bytes.len(), MAX_RECORD_BYTES);
	assert_eq!(Record::decode(&bytes), Ok(longest));
	let longer = text(&"x".repeat(MAX_RECORD_BYTES - 4));
	assert_eq!(longer.encode(), Err(RecordError::TooLong(MAX_RECORD_BYTES + 1)));
	let refused = Record::decode(&naive(&longer));
	assert_eq!(refused, Err(error(MAX_RECORD_BYTES, Reason::TooLong)));
}

#[test]
fn records_name_the_byte_that_is_wrong() {
	assert_eq!(Record::decode(b""), Err(error(0, Reason::Truncated)));
	assert_eq!(Record::decode(b"\x02\x01\0\0\0x"), Err(error(0, Reason::UnknownKind)));
	assert_eq!(Record::decode(b"\0\x03\0\0\0a\xffb"), Err(error(6, Reason::Utf8)));
	assert_eq!(Record::decode(b"\0\xff\xff\xff\xffx"), Err(error(5, Reason::Truncated)));
}

#[test]
fn shards_refuse_what_does_not_fit_or_is_no_record() {
	let mut shard = Shard::new();
	assert!(shard.is_empty());
	let junk = shard.push(b"\x09").unwrap_err();
	assert_eq!(junk, ShardError::Record(error(0, Reason::UnknownKind)));
	let big = text(&"x".repeat(MAX_RECORD_BYTES - 5)).encode().unwrap();
	for _ in 0..15 {
		shard.push(&big).unwrap();
	}
	assert_eq!(shard.push(&big), Err(ShardError::Full));
	let rest = MAX_SHARD_BYTES - shard.as_bytes().len() - 4;
	assert!(!shard.fits(rest + 1));
	shard.push(&text(&"y".repeat(rest - 5)).encode().unwrap()).unwrap();
	assert_eq!(shard.as_bytes().len(), MAX_SHARD_BYTES);
	assert_eq!(shard.records(), 16);
	let info = shard.info();
	assert_eq!(info.cid, blake2b_256(shard.as_bytes()));
	assert_eq!((info.bytes as usize, info.records), (MAX_SHARD_BYTES, 16));
	let mut longer = shard.clone().into_bytes();
	assert_eq!(Shard::decode(&longer).unwrap().len(), 16);
	longer.push(0);
	assert_eq!(Shard::decode(&longer), Err(error(MAX_SHARD_BYTES, Reason::TooLong)));
}

#[test]
fn shards_name_the_byte_that_is_wrong() {
	let mut shard = Shard::new();
	shard.push(&text("one").encode().unwrap()).unwrap();
	let bytes = shard.as_bytes().to_vec();
	assert_eq!(bytes.len(), 12);
	assert_eq!(Shard::decode(b""), Err(error(0, Reason::Empty)));
	let with = |tail: &[u8]| Shard::slices(&[bytes.as_slice(), tail].concat()).unwrap_err();
	assert_eq!(with(b"\x01\0"), error(12, Reason::Truncated));
	assert_eq!(with(b"\x01\0\x01\0"), error(12, Reason::TooLong));
	assert_eq!(with(b"\x05\0\0\0"), error(16, Reason::Truncated));
	assert_eq!(with(b"\0\0\0\0"), error(16, Reason::Truncated));
	assert_eq!(with(b"\x06\0\0\0\x03\x01\0\0\0x"), error(16, Reason::UnknownKind));
	assert_eq!(with(b"\x07\0\0\0\0\x01\0\0\0xy"), error(22, Reason::Trailing));
}

#[test]
fn a_cut_shard_is_refused_unless_cut_between_records() {
	let mut shard = Shard::new();
	let mut boundaries = Vec::new();
	for record in [text("one"), instruction("a", "", "b"), text("three")] {
		shard.push(&record.encode().unwrap()).unwrap();
		boundaries.push(shard.as_bytes().len());
	}
	let bytes = shard.as_bytes();
	for length in 0..=bytes.len() {
		let decoded = Shard::decode(&bytes[..length]);
		match boundaries.iter().position(|boundary| *boundary == length) {
			Some(last) => assert_eq!(decoded.unwrap().len(), last + 1),
			None => assert!(decoded.unwrap_err().offset <= length),
		}
	}
	let encode = |records: &Vec<Record>| {
		let mut again = Shard::new();
		for record in records {
			again.push(&record.encode().unwrap()).unwrap();
		}
		again.into_bytes()
	};
	hostile::flip(bytes, Shard::decode, encode, |_| ());
}

#[test]
fn manifest_has_its_golden_hash() {
	assert_eq!(manifest().encode().len(), 154);
	assert_eq!(
		format!("{:x}", manifest().hash()),
		"71e7528c1163756a4fd752f25dd7c18f7dff320527adc080a8fed6a292944ca9"
	);
	assert_eq!(manifest().validate(), Ok(()));
}

#[test]
fn submission_is_told_by_manifest_and_owner() {
	let (hash, owner) = (manifest().hash(), [7; 32]);
	let mut bytes = hash.as_bytes().to_vec();
	bytes.extend(owner);
	assert_eq!(submission_hash(&hash, &owner), blake2b_256(&bytes));
	assert_ne!(submission_hash(&hash, &owner), submission_hash(&hash, &[8; 32]));
	assert_ne!(submission_hash(&hash, &owner), submission_hash(&H256([8; 32]), &owner));
}

#[test]
fn manifest_refuses_every_cut_and_flip() {
	let bytes = manifest().encode();
	assert_eq!(Manifest::from_bytes(&bytes), Ok(manifest()));
	hostile::cut_and_extend(&bytes, Manifest::from_bytes);
	hostile::flip(
		&bytes,
		Manifest::from_bytes,
		|other| other.encode(),
		|other| assert_ne!(other.hash(), manifest().hash()),
	);
}

#[test]
fn manifest_of_another_version_is_refused_before_it_is_read() {
	let mut bytes = manifest().encode();
	bytes[0] = 2;
	assert_eq!(Manifest::from_bytes(&bytes), Err(error(0, Reason::UnknownVersion)));
	bytes.truncate(1);
	assert_eq!(Manifest::from_bytes(&bytes), Err(error(0, Reason::UnknownVersion)));
}

#[test]
fn manifest_refuses_lengths_that_are_written_too_long() {
	let bytes = manifest().encode();
	// The name's length, 4, in two bytes instead of one.
	let longer = [&bytes[..1], &[0x11u8, 0x00][..], &bytes[2..]].concat();
	assert_eq!(Manifest::from_bytes(&longer).unwrap_err().reason, Reason::Scale);
}

/// A sound manifest after `spoil`.
fn refusal(spoil: impl Fn(&mut Manifest)) -> ManifestError {
	let mut manifest = manifest();
	spoil(&mut manifest);
	manifest.validate().unwrap_err()
}

#[test]
fn manifest_names_the_field_that_is_wrong() {
	assert_eq!(refusal(|m| m.version = 0), ManifestError::Version);
	assert_eq!(refusal(|m| m.kind = DatasetKind::Game), ManifestError::Kind);
	for name in [&b""[..], b" x", b"x\n", b"\xff", b"a\x07b"] {
		assert_eq!(refusal(|m| m.name = name.to_vec().try_into().unwrap()), ManifestError::Name);
		let source = |m: &mut Manifest| m.source = name.to_vec().try_into().unwrap();
		assert_eq!(refusal(source), ManifestError::Source);
	}
	for licence in [&b""[..], b"MIT OR Apache-2.0", b"MIT/X11"] {
		let spoil = |m: &mut Manifest| m.licence = licence.to_vec().try_into().unwrap();
		assert_eq!(refusal(spoil), ManifestError::Licence);
	}
	for language in [&b""[..], b"e", b"EN", b"-en", b"en_GB", b"en GB"] {
		let spoil = |m: &mut Manifest| m.language = language.to_vec().try_into().unwrap();
		assert_eq!(refusal(spoil), ManifestError::Language);
	}
}

#[test]
fn manifest_must_agree_with_its_shards() {
	assert_eq!(refusal(|m| m.shards = Default::default()), ManifestError::NoShards);
	assert_eq!(refusal(|m| m.records = 99), ManifestError::Records);
	assert_eq!(refusal(|m| m.bytes = 2_999), ManifestError::Bytes);
	assert_eq!(refusal(|m| m.shards[1].records = 0), ManifestError::Shard(1));
	assert_eq!(refusal(|m| m.shards[1].records = 101), ManifestError::Shard(1));
	assert_eq!(refusal(|m| m.shards[0].bytes = 0), ManifestError::Shard(0));
	let too_long = MAX_SHARD_BYTES as u32 + 1;
	assert_eq!(refusal(|m| m.shards[0].bytes = too_long), ManifestError::Shard(0));
	assert_eq!(refusal(|m| m.shards[1].cid = m.shards[0].cid), ManifestError::DuplicateShard);
	let too_few = |m: &mut Manifest| {
		m.records = 63;
		m.shards[0].records = 23;
	};
	assert_eq!(refusal(too_few), ManifestError::Records);
}

#[cfg(feature = "serde")]
#[test]
fn manifest_is_readable_json() {
	let json = serde_json::to_string(&manifest()).unwrap();
	assert!(json.contains(r#""licence":"CC0-1.0""#), "{json}");
	assert!(json.contains(r#""kind":"text""#), "{json}");
	assert_eq!(serde_json::from_str::<Manifest>(&json).unwrap(), manifest());
	let longer = json.replace("\"en\"", "\"much-too-long\"");
	assert!(serde_json::from_str::<Manifest>(&longer).is_err());
}

proptest! {
	#[test]
	fn records_come_back_as_they_were(record in any_record()) {
		let bytes = record.encode().unwrap();
		prop_assert_eq!(&bytes, &naive(&record));
		prop_assert_eq!(bytes.len(), record.encoded_len());
		prop_assert_eq!(record.hash().unwrap(), blake2b_256(&bytes));
		prop_assert_eq!(Record::decode(&bytes), Ok(record));
	}

	#[test]
	fn shards_come_back_as_they_were(records in prop::collection::vec(any_record(), 1..20)) {
		let mut shard = Shard::new();
		for record in &records {
			shard.push(&record.encode().unwrap()).unwrap();
		}
		prop_assert_eq!(shard.records() as usize, records.len());
		let slices: Vec<Vec<u8>> = Shard::slices(shard.as_bytes())
			.unwrap()
			.into_iter()
			.map(<[u8]>::to_vec)
			.collect();
		let encoded: Vec<Vec<u8>> = records.iter().map(naive).collect();
		prop_assert_eq!(slices, encoded);
		prop_assert_eq!(Shard::decode(shard.as_bytes()), Ok(records));
	}

	#[test]
	fn decoders_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
		let _ = Record::decode(&bytes);
		let _ = Shard::decode(&bytes);
		let _ = Manifest::from_bytes(&bytes);
		let _ = Manifest::from_bytes(&[&[1u8][..], bytes.as_slice()].concat());
	}
}
