//! Running text to records: at paragraphs, else lines, else sentences, else words, else characters.

/// A piece of text and the line on which it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
	/// The line, from 1 on.
	pub line: u64,
	/// The text, without space around it; never empty.
	pub text: String,
}

/// Collects lines and cuts what they make.
///
/// A piece is as long as the limit allows, but for this: it ends at a paragraph if one ends in its
/// second half, else at a line if one ends there, else at a sentence, else between words. Text
/// without any of these is cut between characters.
#[derive(Debug)]
pub struct Cutter {
	limit: usize,
	/// Lines that were not cut yet, each with its line feed.
	rest: String,
	/// The line on which `rest` begins.
	line: u64,
}

impl Cutter {
	/// Cuts pieces of at most `limit` bytes; at least 4, so that every character fits.
	pub fn new(limit: usize) -> Self {
		Self { limit: limit.max(char::MAX.len_utf8()), rest: String::new(), line: 0 }
	}

	/// Appends line `number`. Pieces that are ready go to `ready`.
	///
	/// Lines must follow one another without a gap; call [`Cutter::flush`] where there is one.
	pub fn push(&mut self, text: &str, number: u64, ready: &mut Vec<Piece>) {
		if self.rest.is_empty() {
			self.line = number;
		}
		self.rest.push_str(text);
		self.rest.push('\n');
		if self.rest.len() > self.limit {
			let kept = self.cut(ready);
			self.rest.drain(..kept);
		}
	}

	/// Ends the text: whatever is left becomes the last piece.
	pub fn flush(&mut self, ready: &mut Vec<Piece>) {
		let kept = self.cut(ready);
		if let Some(rest) = self.rest.get(kept..) {
			emit(rest, self.line, ready);
		}
		self.rest.clear();
	}

	/// Cuts pieces off until what is left fits one; returns where that begins.
	fn cut(&mut self, ready: &mut Vec<Piece>) -> usize {
		let mut start = 0;
		while let Some(rest) = self.rest.get(start..).filter(|rest| rest.len() > self.limit) {
			// At least one byte, so this ends.
			let end = end_of_piece(rest, self.limit);
			let piece = rest.get(..end).unwrap_or(rest);
			emit(piece, self.line, ready);
			self.line += line_feeds(piece);
			start += piece.len();
		}
		start
	}
}

/// Where to end the first piece of `text`, which is longer than `limit`: 1..=limit.
fn end_of_piece(text: &str, limit: usize) -> usize {
	let mut most = limit;
	// At most three steps, and the limit is at least as long as any character.
	while most > 1 && !text.is_char_boundary(most) {
		most -= 1;
	}
	let window = text.get(..most).unwrap_or(text);
	let half = most / 2;
	["\n\n", "\n", ". ", " "]
		.iter()
		.filter_map(|boundary| window.rfind(boundary).map(|at| at + boundary.len()))
		.find(|end| *end > half)
		.unwrap_or(most)
}

fn line_feeds(text: &str) -> u64 {
	text.bytes().filter(|byte| *byte == b'\n').count() as u64
}

/// Adds a piece unless there is only space in it.
fn emit(text: &str, line: u64, ready: &mut Vec<Piece>) {
	let trimmed = text.trim();
	if !trimmed.is_empty() {
		let before = text.len() - text.trim_start().len();
		let skipped = text.get(..before).map_or(0, line_feeds);
		ready.push(Piece { line: line + skipped, text: trimmed.to_owned() });
	}
}

/// Cuts a text that stands on its own.
pub fn cut_all(text: &str, limit: usize, line: u64) -> Vec<Piece> {
	let mut cutter = Cutter::new(limit);
	let mut ready = Vec::new();
	cutter.push(text, line, &mut ready);
	cutter.flush(&mut ready);
	ready
}

#[cfg(test)]
mod tests {
	use super::*;
	use proptest::prelude::*;

	fn texts(text: &str, limit: usize) -> Vec<String> {
		cut_all(text, limit, 1).into_iter().map(|piece| piece.text).collect()
	}

	#[test]
	fn short_text_is_one_piece() {
		assert_eq!(texts("one\n\ntwo", 20), ["one\n\ntwo"]);
		assert_eq!(texts("  \n \n", 20), Vec::<String>::new());
		assert_eq!(texts("", 20), Vec::<String>::new());
	}

	#[test]
	fn paragraphs_come_before_lines_before_sentences_before_words() {
		assert_eq!(texts("aaaa bbbb.\n\ncc\ndd ee", 16), ["aaaa bbbb.", "cc\ndd ee"]);
		assert_eq!(texts("aaaa. bbbb\ncc dd", 14), ["aaaa. bbbb", "cc dd"]);
		assert_eq!(texts("aaaaaa. bb cc dd", 12), ["aaaaaa.", "bb cc dd"]);
		assert_eq!(texts("aaaa bbbb cccc", 11), ["aaaa bbbb", "cccc"]);
		assert_eq!(texts("aaaaaaaaaa", 4), ["aaaa", "aaaa", "aa"]);
	}

	#[test]
	fn boundary_in_the_first_half_is_passed_over() {
		assert_eq!(texts("a\n\nbbbbbbb ccccccc ddd", 16), ["a\n\nbbbbbbb", "ccccccc ddd"]);
	}

	#[test]
	fn pieces_know_their_lines() {
		let mut cutter = Cutter::new(8);
		let mut ready = Vec::new();
		for (number, line) in (10..).zip(["aaaa", "bbbb", "", "cccc", "dddd"]) {
			cutter.push(line, number, &mut ready);
		}
		cutter.flush(&mut ready);
		let lines: Vec<(u64, &str)> = ready.iter().map(|p| (p.line, p.text.as_str())).collect();
		assert_eq!(lines, [(10, "aaaa"), (11, "bbbb"), (13, "cccc"), (14, "dddd")]);
	}

	#[test]
	fn very_long_lines_are_cut_in_linear_time() {
		let text = "ab ".repeat(1 << 18);
		let pieces = texts(&text, 64);
		assert!(pieces.iter().all(|piece| piece.len() <= 64));
		assert_eq!(pieces.join(" ").len(), text.len() - 1);
	}

	proptest! {
		#[test]
		fn nothing_but_space_is_lost(
			lines in prop::collection::vec("[a-zä𝄞 .]{0,40}", 0..20),
			limit in 4usize..60,
		) {
			let mut cutter = Cutter::new(limit);
			let mut ready = Vec::new();
			for (number, line) in (1..).zip(&lines) {
				cutter.push(line, number, &mut ready);
			}
			cutter.flush(&mut ready);
			let solid = |text: &str| text.split_whitespace().collect::<String>();
			let whole: String = lines.iter().map(|line| solid(line)).collect();
			let pieces: String = ready.iter().map(|piece| solid(&piece.text)).collect();
			prop_assert_eq!(pieces, whole);
			for piece in &ready {
				prop_assert!(!piece.text.is_empty() && piece.text.len() <= limit);
				let line = lines.get(piece.line as usize - 1);
				let begin = piece.text.lines().next().unwrap_or_default();
				prop_assert!(line.is_some_and(|line| line.contains(begin)), "{piece:?}");
			}
		}
	}
}
