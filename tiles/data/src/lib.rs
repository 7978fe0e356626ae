//! Datasets before they are on a chain: what is made of files, and what an auditor finds in them.
//!
//! # Overview
//!
//! | module | what |
//! |---|---|
//! | [`prepare`] | files of text, JSONL, CSV and mail to a dataset |
//! | [`audit`] | what an auditor can find in a dataset without a model |
//!
//! # Invariants
//!
//! - Input is hostile: it is read in bounded pieces, and what is refused is named by file and line.
//! - The same files give the same dataset, and the same dataset the same report, on every machine.

#![deny(missing_docs)]

pub mod audit;
pub mod prepare;

/// Text that can neither move the cursor of the terminal that it is printed on, nor turn around
/// what stands beside it.
pub fn one_line(text: &str) -> String {
	let steers =
		|c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
	text.chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn text_cannot_steer_a_terminal() {
		assert_eq!(one_line("a\nb\u{7}\u{202e}c"), "a\u{fffd}b\u{fffd}\u{fffd}c");
	}
}
