//! Reading what somebody else wrote, in bounded pieces.

use super::{Reason, MAX_ITEM_BYTES};
use blyan_primitives::record::Record;
use serde::Deserialize;
use std::{
	cell::Cell,
	io::{self, BufRead, Read},
	rc::Rc,
};

/// What a line is.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
	/// Its bytes, without the end of line.
	Bytes(&'a [u8]),
	/// It is longer than is read. It was passed over in constant memory.
	TooLong,
}

/// Reads lines of at most [`MAX_ITEM_BYTES`].
#[derive(Debug)]
pub struct Lines<R> {
	reader: R,
	line: Vec<u8>,
	number: u64,
}

impl<R: BufRead> Lines<R> {
	/// The lines of a reader.
	pub fn new(reader: R) -> Self {
		Self { reader, line: Vec::new(), number: 0 }
	}

	/// The number of the line that was read last, from 1 on.
	pub fn number(&self) -> u64 {
		self.number
	}

	/// The next line, unless there is none.
	pub fn next_line(&mut self) -> io::Result<Option<Line<'_>>> {
		self.line.clear();
		let (mut any, mut too_long) = (false, false);
		loop {
			let available = match self.reader.fill_buf() {
				Ok(available) => available,
				Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
				Err(error) => return Err(error),
			};
			if available.is_empty() {
				break;
			}
			any = true;
			let end = available.iter().position(|byte| *byte == b'\n');
			let part = available.get(..end.unwrap_or(available.len())).unwrap_or_default();
			if self.line.len().saturating_add(part.len()) > MAX_ITEM_BYTES {
				too_long = true;
				self.line.clear();
			}
			if !too_long {
				self.line.extend_from_slice(part);
			}
			let used = part.len() + usize::from(end.is_some());
			self.reader.consume(used);
			if end.is_some() {
				break;
			}
		}
		if !any {
			return Ok(None);
		}
		self.number += 1;
		if too_long {
			return Ok(Some(Line::TooLong));
		}
		let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
		Ok(Some(Line::Bytes(line)))
	}
}

/// A reader that hands out a limited number of bytes until the limit is renewed, so that what
/// parses one thing cannot be made to hold a whole file in memory.
#[derive(Debug)]
pub struct Metered<R> {
	inner: R,
	left: Meter,
}

/// How much a [`Metered`] reader may still hand out.
#[derive(Clone, Debug)]
pub struct Meter(Rc<Cell<usize>>);

impl Meter {
	/// A meter that allows one thing.
	pub fn new() -> Self {
		Self(Rc::new(Cell::new(MAX_ITEM_BYTES)))
	}

	/// Allows another thing.
	pub fn renew(&self) {
		self.0.set(MAX_ITEM_BYTES);
	}

	/// Whether the reader was stopped.
	pub fn is_used_up(&self) -> bool {
		self.0.get() == 0
	}
}

impl<R> Metered<R> {
	/// A reader under this meter.
	pub fn new(inner: R, left: Meter) -> Self {
		Self { inner, left }
	}
}

impl<R: Read> Read for Metered<R> {
	fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
		let left = self.left.0.get();
		let length = buffer.len().min(left);
		let Some(allowed) = buffer.get_mut(..length).filter(|allowed| !allowed.is_empty()) else {
			// An empty buffer is no reason to complain.
			return if left == 0 { Err(io::Error::other("too long")) } else { Ok(0) };
		};
		let read = self.inner.read(allowed)?;
		self.left.0.set(left.saturating_sub(read));
		Ok(read)
	}
}

/// Bytes as text, unless they are none. A byte order mark before it is dropped.
pub fn clean(bytes: &[u8]) -> Result<&str, Reason> {
	let text = std::str::from_utf8(bytes).map_err(|error| {
		Reason::with("not UTF-8", format!("at byte {} of the line", error.valid_up_to()))
	})?;
	check_text(text)?;
	Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// Refuses what no text has.
pub fn check_text(text: &str) -> Result<(), Reason> {
	if text.contains('\0') {
		return Err(Reason::new("contains a NUL character"));
	}
	Ok(())
}

/// An object of JSONL or a row of CSV: the field names of Alpaca, or `text`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Item {
	/// Running text.
	#[serde(default)]
	pub text: Option<String>,
	/// What is asked.
	#[serde(default)]
	pub instruction: Option<String>,
	/// What it is asked about.
	#[serde(default)]
	pub input: Option<String>,
	/// The answer.
	#[serde(default)]
	pub output: Option<String>,
}

/// What an item holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
	/// Running text, to be cut.
	Text(String),
	/// A task and its answer.
	Instruction(Record),
}

impl Item {
	/// What the item holds.
	pub fn content(self) -> Result<Content, Reason> {
		let fields = [&self.text, &self.instruction, &self.input, &self.output];
		for field in fields.into_iter().flatten() {
			check_text(field)?;
		}
		let full = |field: Option<String>| field.filter(|text| !text.trim().is_empty());
		match (full(self.text), full(self.instruction), full(self.output)) {
			(None, Some(instruction), Some(output)) => {
				let input = self.input.unwrap_or_default();
				Ok(Content::Instruction(Record::Instruction { instruction, input, output }))
			}
			(Some(text), None, None) => Ok(Content::Text(text)),
			(Some(_), _, _) => Err(Reason::new("has both a text and an instruction")),
			(None, Some(_), None) => Err(Reason::new("has an instruction, but no output")),
			(None, None, Some(_)) => Err(Reason::new("has an output, but no instruction")),
			(None, None, None) => Err(Reason::new("has neither text nor instruction")),
		}
	}
}

/// The item of a line of JSONL.
pub fn item_of_line(line: &[u8]) -> Result<Item, Reason> {
	serde_json::from_str(clean(line)?)
		.map_err(|error| Reason::with("not an object with text fields", error.to_string()))
}

/// Calls `visit` with each element of a JSON array, or with why it is no item. `visit` says whether
/// to go on. Fails where the array itself breaks off.
pub fn for_each_element<R: Read>(
	reader: R,
	mut visit: impl FnMut(u64, Result<Item, Reason>) -> bool,
) -> Result<(), (u64, Reason)> {
	let meter = Meter::new();
	let mut number = 0u64;
	let visitor = Elements { meter: meter.clone(), number: &mut number, visit: &mut visit };
	let metered = Metered::new(reader, meter.clone());
	let mut deserializer = serde_json::Deserializer::from_reader(metered);
	let read = serde::Deserializer::deserialize_seq(&mut deserializer, visitor);
	if read.is_ok() {
		meter.renew();
	}
	match read.and_then(|()| deserializer.end()) {
		Ok(()) => Ok(()),
		Err(_) if meter.is_used_up() => {
			Err((number + 1, Reason::new("too long; this and the rest of the file are left out")))
		}
		Err(error) => {
			let detail = error.to_string();
			Err((number + 1, Reason::with("not JSON; the rest of the file is left out", detail)))
		}
	}
}

/// Takes an array apart without holding it.
struct Elements<'a, F> {
	meter: Meter,
	number: &'a mut u64,
	visit: &'a mut F,
}

impl<'de, F: FnMut(u64, Result<Item, Reason>) -> bool> serde::de::Visitor<'de> for Elements<'_, F> {
	type Value = ();

	fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
		f.write_str("an array of objects")
	}

	fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
		let Self { meter, number, visit } = self;
		let mut go_on = true;
		loop {
			meter.renew();
			let Some(value) = elements.next_element::<serde_json::Value>()? else { return Ok(()) };
			*number += 1;
			let item = serde_json::from_value(value)
				.map_err(|error| Reason::with("not an object with text fields", error.to_string()));
			// The array must be read to its end, or serde calls it malformed.
			go_on = go_on && visit(*number, item);
		}
	}
}

/// Calls `visit` with each row of a CSV file whose first row names its columns. `visit` says whether
/// to go on.
pub fn for_each_row<R: Read>(
	reader: R,
	delimiter: u8,
	mut visit: impl FnMut(u64, Result<Item, Reason>) -> bool,
) -> Result<(), (u64, Reason)> {
	let meter = Meter::new();
	let mut rows = csv::ReaderBuilder::new()
		.delimiter(delimiter)
		.flexible(true)
		.from_reader(Metered::new(reader, meter.clone()));
	let broken = |line: u64, error: csv::Error| {
		if meter.is_used_up() {
			(line, Reason::new("too long; this and the rest of the file are left out"))
		} else {
			let detail = error.to_string();
			(line, Reason::with("not CSV; the rest of the file is left out", detail))
		}
	};
	let header = rows.byte_headers().map_err(|error| broken(1, error))?.clone();
	let names: Vec<String> = header
		.iter()
		.map(|name| {
			let name = String::from_utf8_lossy(name);
			name.trim_start_matches('\u{feff}').trim().to_ascii_lowercase()
		})
		.collect();
	let column = |wanted: &str| names.iter().position(|name| name == wanted);
	let columns = ["text", "instruction", "input", "output"].map(column);
	let [text, instruction, input, output] = columns;
	if text.is_none() && (instruction.is_none() || output.is_none()) {
		let reason = "the first row names neither a column `text` nor `instruction` and `output`";
		return Err((1, Reason::new(reason)));
	}
	let mut row = csv::ByteRecord::new();
	loop {
		meter.renew();
		let line = rows.position().line();
		match rows.read_byte_record(&mut row) {
			Ok(true) => {}
			Ok(false) => return Ok(()),
			Err(error) => return Err(broken(line, error)),
		}
		let line = row.position().map_or(line, csv::Position::line);
		let field = |column: Option<usize>| -> Result<Option<String>, Reason> {
			let Some(bytes) = column.and_then(|column| row.get(column)) else { return Ok(None) };
			clean(bytes).map(|text| Some(text.to_owned()))
		};
		let item = || -> Result<Item, Reason> {
			Ok(Item {
				text: field(text)?,
				instruction: field(instruction)?,
				input: field(input)?,
				output: field(output)?,
			})
		};
		if !visit(line, item()) {
			return Ok(());
		}
	}
}

/// Calls `visit` with the text of each mail of a mailbox file, or with why it has none. `visit` says
/// whether to go on.
///
/// A mail begins with a line `From <sender> <weekday> …` at the start of the file or after an empty
/// line. Its text is the first part that is meant to be read; headers and attachments are dropped,
/// for they are mostly addresses.
pub fn for_each_mail<R: BufRead>(
	reader: R,
	mut visit: impl FnMut(u64, Result<String, Reason>) -> bool,
) -> io::Result<()> {
	let mut lines = Lines::new(reader);
	let mut mail = Mail::default();
	let mut before_is_empty = true;
	loop {
		let number = lines.number() + 1;
		let Some(line) = lines.next_line()? else { break };
		let line = match line {
			Line::Bytes(line) => Some(line),
			Line::TooLong => None,
		};
		if before_is_empty && line.is_some_and(begins_mail) {
			if !mail.visit(&mut visit) {
				return Ok(());
			}
			mail = Mail { line: number, ..Mail::default() };
		} else {
			mail.push(line);
		}
		before_is_empty = line.is_some_and(<[u8]>::is_empty);
	}
	mail.visit(&mut visit);
	Ok(())
}

/// Whether a line after an empty one begins a mail. The weekday tells it from a sentence.
fn begins_mail(line: &[u8]) -> bool {
	const WEEKDAYS: [&[u8]; 7] = [b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun"];
	let Some(rest) = line.strip_prefix(b"From ") else { return false };
	let words = rest.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
	words.skip(1).take(1).any(|word| WEEKDAYS.contains(&word))
}

/// A mail while its lines come in.
#[derive(Debug, Default)]
struct Mail {
	/// Where it begins; 0 for what stands before the first.
	line: u64,
	bytes: Vec<u8>,
	too_long: bool,
}

impl Mail {
	fn push(&mut self, line: Option<&[u8]>) {
		let Some(line) = line.filter(|line| self.bytes.len() + line.len() < MAX_ITEM_BYTES) else {
			self.too_long = true;
			self.bytes.clear();
			return;
		};
		if self.too_long {
			return;
		}
		// Writers of mailboxes quote lines that would begin a mail.
		let is_quoted = line.first() == Some(&b'>') && {
			let first = line.iter().position(|byte| *byte != b'>').unwrap_or(line.len());
			line.get(first..).is_some_and(|rest| rest.starts_with(b"From "))
		};
		let line = if is_quoted { line.get(1..).unwrap_or_default() } else { line };
		self.bytes.extend_from_slice(line);
		self.bytes.push(b'\n');
	}

	fn visit(&self, visit: &mut impl FnMut(u64, Result<String, Reason>) -> bool) -> bool {
		if self.line == 0 {
			let is_nothing = self.bytes.is_empty() && !self.too_long;
			return is_nothing || visit(1, Err(Reason::new("stands before the first mail")));
		}
		visit(self.line, self.text())
	}

	fn text(&self) -> Result<String, Reason> {
		if self.too_long {
			return Err(Reason::new("too long"));
		}
		let message = mail_parser::MessageParser::default()
			.parse(&self.bytes)
			.ok_or_else(|| Reason::new("not a mail"))?;
		let text = message.body_text(0).ok_or_else(|| Reason::new("a mail without text"))?;
		check_text(&text)?;
		Ok(text.into_owned())
	}
}

/// What a file is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
	/// Running text.
	Text,
	/// An object on each line.
	JsonLines,
	/// An array of objects.
	JsonArray,
	/// Rows of fields, parted by this byte.
	Csv(u8),
	/// A mailbox.
	Mbox,
}

/// What to read a file as, by the end of its name and its first bytes.
pub fn format_of(extension: &str, head: &[u8]) -> Result<Format, Reason> {
	let first = head.iter().find(|byte| !byte.is_ascii_whitespace());
	match extension.to_ascii_lowercase().as_str() {
		"txt" | "text" | "md" => Ok(Format::Text),
		"jsonl" | "ndjson" => Ok(Format::JsonLines),
		"json" if first == Some(&b'[') => Ok(Format::JsonArray),
		"json" => Ok(Format::JsonLines),
		"csv" => Ok(Format::Csv(b',')),
		"tsv" => Ok(Format::Csv(b'\t')),
		"mbox" | "mbx" => Ok(Format::Mbox),
		"sgf" => Err(Reason::new(
			"game records need the game's own spec, which this version does not have",
		)),
		_ if head.starts_with(b"From ") => Ok(Format::Mbox),
		_ if looks_like_text(head) => Ok(Format::Text),
		_ => Err(Reason::new("neither text, JSONL, CSV nor mail")),
	}
}

/// Whether these first bytes of a file could be text. The last character may be cut off.
fn looks_like_text(head: &[u8]) -> bool {
	let is_utf8 = match std::str::from_utf8(head) {
		Ok(_) => true,
		Err(error) => error.error_len().is_none(),
	};
	is_utf8 && !head.contains(&0)
}

#[cfg(test)]
mod tests {
	use super::*;
	use std::io::Cursor;

	fn lines(bytes: &[u8]) -> Vec<Option<Vec<u8>>> {
		// A small buffer, so that lines cross its end.
		let mut lines = Lines::new(io::BufReader::with_capacity(7, Cursor::new(bytes)));
		let mut found = Vec::new();
		while let Some(line) = lines.next_line().unwrap() {
			found.push(match line {
				Line::Bytes(bytes) => Some(bytes.to_vec()),
				Line::TooLong => None,
			});
		}
		assert_eq!(lines.number(), found.len() as u64);
		found
	}

	#[test]
	fn lines_end_with_or_without_a_carriage_return() {
		let some = |text: &str| Some(text.as_bytes().to_vec());
		assert!(lines(b"").is_empty());
		assert_eq!(lines(b"\n"), [some("")]);
		assert_eq!(
			lines(b"one\r\n\ntwo long words\nend"),
			[some("one"), some(""), some("two long words"), some("end")]
		);
	}

	#[test]
	fn lines_that_are_too_long_are_passed_over() {
		let mut bytes = vec![b'a'; MAX_ITEM_BYTES + 1];
		bytes.extend_from_slice(b"\nnext\n");
		assert_eq!(lines(&bytes), [None, Some(b"next".to_vec())]);
		let whole = vec![b'a'; MAX_ITEM_BYTES];
		assert_eq!(lines(&whole), [Some(whole)]);
	}

	fn item(line: &str) -> Result<Content, String> {
		item_of_line(line.as_bytes()).and_then(Item::content).map_err(|reason| reason.to_string())
	}

	#[test]
	fn lines_of_json_are_texts_or_instructions() {
		let text = Content::Text(String::from("abc"));
		assert_eq!(item(r#"{"text":"abc","id":7}"#), Ok(text));
		let instruction = |input: &str| {
			Content::Instruction(Record::Instruction {
				instruction: String::from("add"),
				input: input.to_owned(),
				output: String::from("3"),
			})
		};
		let alpaca = r#"{"instruction":"add","input":"1 2","output":"3"}"#;
		assert_eq!(item(alpaca), Ok(instruction("1 2")));
		let without = r#"{"instruction":"add","input":null,"output":"3"}"#;
		assert_eq!(item(without), Ok(instruction("")));
		for wrong in [
			"",
			"abc",
			"[1]",
			r#"{"text":7}"#,
			r#"{"text":"a\u0000b"}"#,
			r#"{"text":"  "}"#,
			r#"{"instruction":"add"}"#,
			r#"{"output":"3"}"#,
			r#"{"text":"a","instruction":"add","output":"3"}"#,
			&"[".repeat(10_000),
		] {
			assert!(item(wrong).is_err(), "{wrong}");
		}
	}

	#[test]
	fn rows_are_found_by_the_names_of_columns() {
		let read = |text: &str| {
			let mut found = Vec::new();
			let result = for_each_row(text.as_bytes(), b',', |line, item| {
				found.push((line, item.and_then(Item::content).is_ok()));
				true
			});
			(found, result.map_err(|(line, _)| line))
		};
		let (found, result) = read("id,Text\n1,abc\n2,\"de\n\nf\"\n3\n4,g\n");
		assert_eq!(found, [(2, true), (3, true), (6, false), (7, true)]);
		assert_eq!(result, Ok(()));
		assert_eq!(read("a,b\n1,2\n").1, Err(1));
		assert_eq!(read("").1, Err(1));
		assert_eq!(read("instruction,output\nadd,3\n").0, [(2, true)]);
		let endless = format!("text\nabc\n\"{}", "x".repeat(2 * MAX_ITEM_BYTES));
		let (found, result) = read(&endless);
		assert_eq!(found, [(2, true)]);
		assert_eq!(result, Err(3));
	}

	#[test]
	fn elements_of_an_array_are_read_one_by_one() {
		let read = |text: &str| {
			let mut found = Vec::new();
			let result = for_each_element(text.as_bytes(), |number, item| {
				found.push((number, item.and_then(Item::content).is_ok()));
				true
			});
			(found, result.map_err(|(number, _)| number))
		};
		let text = r#"[{"text":"abc"}, 7, {"instruction":"a","output":"b"}]"#;
		assert_eq!(read(text), (vec![(1, true), (2, false), (3, true)], Ok(())));
		assert_eq!(read(r#"[{"text":"abc"}, {"#), (vec![(1, true)], Err(2)));
		let endless = format!(r#"[{{"text":"abc"}}, {{"text":"{}"#, "x".repeat(2 * MAX_ITEM_BYTES));
		assert_eq!(read(&endless), (vec![(1, true)], Err(2)));
	}

	#[test]
	fn mails_are_their_text() {
		let mailbox = "From a@b Mon\nSubject: x\nFrom: a@b.example\n\nHello.\n>From here.\n\n\
			From c@d Tue\nContent-Type: text/plain\n\nSecond.\n\nFrom here on.\n\n\
			From e@f Wed\nContent-Type: image/png\nContent-Transfer-Encoding: base64\n\nAAAA\n";
		let mut found = Vec::new();
		for_each_mail(mailbox.as_bytes(), |line, text| {
			found.push((line, text.ok().map(|text| text.trim().replace("\r\n", "\n"))));
			true
		})
		.unwrap();
		assert_eq!(found.len(), 3);
		assert_eq!(found[0], (1, Some(String::from("Hello.\nFrom here."))));
		assert_eq!(found[1], (8, Some(String::from("Second.\n\nFrom here on."))));
		assert_eq!(found[2], (15, None));

		let mut found = Vec::new();
		let stray = format!("stray\n\nFrom a@b Mon\n\n{}\n", "x".repeat(MAX_ITEM_BYTES));
		for_each_mail(stray.as_bytes(), |line, text| {
			found.push((line, text.is_ok()));
			true
		})
		.unwrap();
		assert_eq!(found, [(1, false), (3, false)]);
	}

	#[test]
	fn formats_are_told_by_name_and_by_content() {
		let format = |extension: &str, head: &[u8]| format_of(extension, head).ok();
		assert_eq!(format("TXT", b""), Some(Format::Text));
		assert_eq!(format("jsonl", b"{}"), Some(Format::JsonLines));
		assert_eq!(format("json", b" [{}]"), Some(Format::JsonArray));
		assert_eq!(format("json", b"{}\n{}"), Some(Format::JsonLines));
		assert_eq!(format("csv", b""), Some(Format::Csv(b',')));
		assert_eq!(format("tsv", b""), Some(Format::Csv(b'\t')));
		assert_eq!(format("", b"From a@b\n"), Some(Format::Mbox));
		assert_eq!(format("0001", "grün".as_bytes()), Some(Format::Text));
		assert_eq!(format("0001", &"grün".as_bytes()[..3]), Some(Format::Text));
		assert_eq!(format("png", b"\x89PNG\r\n"), None);
		assert_eq!(format("bin", b"abc\0"), None);
		assert!(format_of("sgf", b"(;GM[1])").unwrap_err().to_string().contains("game"));
	}
}
