//! Datasets before they are on a chain: what is read of the files of strangers, and what an auditor
//! finds in their records.

use crate::input::{is_rare, Input};
use blyan_data::{
	audit::{self, Report, MAX_FINDINGS, MAX_SCORE},
	prepare::{
		for_each_element, for_each_mail, for_each_row, item_of_line, Content, Item, Line, Lines,
		Reason, MAX_ITEM_BYTES,
	},
};
use blyan_primitives::{
	record::{Availability, DatasetKind, Manifest, Record, ShardInfo, MANIFEST_VERSION},
	tree, BoundedVec, H256,
};
use std::{
	collections::HashSet,
	io::{BufRead, BufReader},
};

/// How many formats there are.
const FORMATS: u8 = 5;
/// A buffer so short that everything crosses its end.
const SHORT_BUFFER_BYTES: usize = 7;
/// The most bytes of text that a byte of a file becomes: a character of another encoding, in UTF-8.
const GROWTH: usize = 4;

/// What was read of a file: each thing with its place, and the place at which the file broke off.
type Found = (Vec<(u64, Result<Item, Reason>)>, Option<(u64, Reason)>);

/// Lines are those between the ends of lines. What is found in mail, CSV and JSON is the same in
/// whatever pieces the file comes, is a text or an instruction within the limit or refused, and ends
/// where whoever asks for it has enough.
///
/// The sum of the input's bytes decides whether one byte of the file is repeated until it is about as
/// long as the limit. The input is a byte for that, the format, where and how often a byte is
/// repeated or after how many things to stop, and the file.
pub fn prepare(input: &[u8]) {
	let is_long = is_rare(input);
	let mut input = Input::new(input);
	// There to make the sum of the bytes anything.
	input.u8();
	let (format, place) = (input.u8() % FORMATS, input.u16());
	let mut file = input.rest().to_vec();
	if is_long {
		let at = usize::from(place) % (file.len() + 1);
		// Half of them are too long for one thing, the others are not.
		let times = if place.is_multiple_of(2) { MAX_ITEM_BYTES } else { MAX_ITEM_BYTES / 2 };
		let byte = file.get(at).copied().unwrap_or(b'x');
		file.splice(at..at, std::iter::repeat_n(byte, times));
	}
	check_lines(&file);

	let all = read(format, file.as_slice(), usize::MAX);
	check_places(format, &file, &all);
	for (_, item) in &all.0 {
		if let Ok(content) = item.clone().and_then(Item::content) {
			check_content(content);
		}
	}
	let most = 1 + usize::from(place % 3);
	assert_eq!(read(format, file.as_slice(), most).0, all.0[..most.min(all.0.len())]);
	// Whether what is about as long as the limit is too long may hang on the pieces.
	if file.len() < MAX_ITEM_BYTES {
		let pieces = BufReader::with_capacity(SHORT_BUFFER_BYTES, file.as_slice());
		assert_eq!(read(format, pieces, usize::MAX), all);
	}
}

/// Reads a file until there are so many things.
fn read(format: u8, reader: impl BufRead, most: usize) -> Found {
	let mut things = Vec::new();
	let mut visit = |line: u64, item: Result<Item, Reason>| {
		assert!(things.len() < most, "whoever asked for it had enough");
		things.push((line, item));
		things.len() < most
	};
	let ended = match format {
		0 => {
			let mails = for_each_mail(reader, |line, text| {
				visit(line, text.map(|text| Item { text: Some(text), ..Item::default() }))
			});
			mails.expect("memory can be read");
			Ok(())
		}
		1 => for_each_row(reader, b',', visit),
		2 => for_each_row(reader, b'\t', visit),
		3 => for_each_element(reader, visit),
		_ => {
			let mut lines = Lines::new(reader);
			loop {
				let number = lines.number() + 1;
				let item = match lines.next_line().expect("memory can be read") {
					// Empty lines part objects.
					Some(Line::Bytes(line)) if line.trim_ascii().is_empty() => continue,
					Some(Line::Bytes(line)) => item_of_line(line),
					Some(Line::TooLong) => continue,
					None => break,
				};
				if !visit(number, item) {
					break;
				}
			}
			Ok(())
		}
	};
	(things, ended.err())
}

/// Elements of JSON are counted; whatever else is found has its line, in their order.
fn check_places(format: u8, file: &[u8], (things, end): &Found) {
	let places = things.iter().map(|(place, _)| *place);
	let end = end.as_ref().map(|(place, _)| *place);
	if format == 3 {
		let elements = things.len() as u64;
		assert!(places.eq(1..=elements));
		assert!(end.is_none_or(|place| place == elements + 1));
	} else {
		let lines = 1 + file.iter().filter(|byte| **byte == b'\n').count() as u64;
		let mut places = places.chain(end);
		let first = places.next().unwrap_or(1);
		let last = places.try_fold(first, |last, place| (last <= place).then_some(place));
		assert!(1 <= first && last.is_some_and(|last| last <= lines), "{last:?} of {lines} lines");
	}
}

/// Lines of any length are as they are in the file.
fn check_lines(file: &[u8]) {
	let mut lines = Lines::new(BufReader::with_capacity(SHORT_BUFFER_BYTES, file));
	let whole = file.strip_suffix(b"\n").unwrap_or(file);
	let pieces =
		whole.split(|byte| *byte == b'\n').take(if file.is_empty() { 0 } else { usize::MAX });
	for piece in pieces {
		let expected = if piece.len() > MAX_ITEM_BYTES {
			Line::TooLong
		} else {
			Line::Bytes(piece.strip_suffix(b"\r").unwrap_or(piece))
		};
		let number = lines.number();
		let found = lines.next_line().expect("memory can be read");
		assert!(found == Some(expected), "line {}", number + 1);
		assert_eq!(lines.number(), number + 1);
	}
	assert_eq!(lines.next_line().expect("memory can be read"), None);
}

/// What an item holds is within the limit and has nothing that no text has.
fn check_content(content: Content) {
	let texts = match content {
		Content::Text(text) => vec![text],
		Content::Instruction(Record::Instruction { instruction, input, output }) => {
			vec![instruction, input, output]
		}
		Content::Instruction(Record::Text { .. }) => panic!("a text is no instruction"),
	};
	assert!(texts.iter().all(|text| !text.contains('\0')));
	assert!(texts.iter().any(|text| !text.trim().is_empty()));
	assert!(texts.iter().map(String::len).sum::<usize>() <= GROWTH * MAX_ITEM_BYTES);
}

/// What a manifest declares: licences with and without rights, and none; languages, and none.
const LICENCES: [&str; 3] = ["CC0-1.0", "MIT", "none"];
const LANGUAGES: [&str; 3] = ["en", "de", "xx"];

/// The report on any records counts each of them at most once, names places in their text, in order,
/// and finds the same again, and in addition only what is known from elsewhere.
///
/// The input is what the manifest declares, whether the records are instructions, and their texts,
/// with a zero between them.
pub fn audit(input: &[u8]) {
	let mut input = Input::new(input);
	let kind = *input.pick(&[DatasetKind::Text, DatasetKind::Instruction]);
	let (licence, language) = (*input.pick(&LICENCES), *input.pick(&LANGUAGES));
	let fields = *input.pick(&[1, 3]);
	let texts = input.rest().split(|byte| *byte == 0);
	let texts: Vec<String> = texts.map(|text| String::from_utf8_lossy(text).into_owned()).collect();
	let record = |texts: &[String]| match texts {
		[text] if fields == 1 => Record::Text { text: text.clone() },
		_ => {
			let [instruction, input, output] =
				[0, 1, 2].map(|place| texts.get(place).cloned().unwrap_or_default());
			Record::Instruction { instruction, input, output }
		}
	};
	let records: Vec<Record> = texts.chunks(fields).map(record).collect();
	// Those without canonical bytes have none.
	let hashes: Vec<H256> = records.iter().filter_map(|record| record.hash().ok()).collect();
	let known: HashSet<H256> = hashes.iter().copied().collect();
	let bytes = |text: &str| text.as_bytes().to_vec();
	let count = records.len() as u32;
	let manifest = Manifest {
		version: MANIFEST_VERSION,
		name: BoundedVec::truncate_from(bytes("fuzzed")),
		kind,
		licence: BoundedVec::truncate_from(bytes(licence)),
		language: BoundedVec::truncate_from(bytes(language)),
		source: BoundedVec::truncate_from(bytes("made up")),
		records: count,
		bytes: 1_000,
		records_root: tree::list_root(&hashes).unwrap_or_default(),
		shards: BoundedVec::truncate_from(vec![ShardInfo {
			cid: H256::zero(),
			bytes: 1_000,
			records: count,
		}]),
		availability: Availability::Chain,
	};
	let report = audit::audit(&manifest, &records, &HashSet::new());
	check_report(&report, &texts, fields);
	assert_eq!(report.counts.records, u64::from(count));
	assert_eq!(report.counts.duplicates, (hashes.len() - known.len()) as u64);

	let again = audit::audit(&manifest, &records, &known);
	check_report(&again, &texts, fields);
	assert_eq!(again.counts.known, known.len() as u64);
	assert_eq!(audit::Counts { known: 0, ..again.counts }, report.counts);
}

/// What holds of every report on records of so many of these texts each.
fn check_report(report: &Report, texts: &[String], fields: usize) {
	let counts = &report.counts;
	assert_eq!(counts.bytes, texts.iter().map(|text| text.len() as u64).sum::<u64>());
	for count in [
		counts.malformed,
		counts.duplicates + counts.known,
		counts.personal,
		counts.abusive,
		counts.instructing,
		counts.licence_conflicts,
		counts.language_checked,
	] {
		assert!(count <= counts.records);
	}
	assert!(counts.language_other <= counts.language_checked);
	let scores = &report.scores;
	for score in [
		scores.format,
		scores.duplicates,
		scores.personal_data,
		scores.toxicity,
		scores.licence,
		scores.language,
	] {
		assert!(score <= MAX_SCORE);
	}
	assert!(report.findings.len() <= MAX_FINDINGS);
	assert!(report.findings.is_sorted_by_key(|finding| finding.record));
	for finding in &report.findings {
		let record = texts.chunks(fields).nth(finding.record as usize);
		let text = record.expect("a finding is in a record").concat();
		assert!(text.is_char_boundary(finding.byte as usize), "{finding:?}");
	}
}
