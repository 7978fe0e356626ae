//! What a worker tells: one line for each event.
//!
//! With `--json` a line is an object whose first field is `event`; without, the same in words. Both
//! go to standard output: events are the worker's result. Secrets are no events.

use crate::output::{is_exact, print_text};
use blyan_data::one_line;
use serde_json::{Map, Value};

/// Tells what happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
	json: bool,
}

impl Report {
	/// Tells programs or people.
	pub fn new(json: bool) -> Self {
		Self { json }
	}

	/// Tells that something happened; `fields` is an object.
	pub fn event(&self, name: &str, fields: Value) {
		let line = self.line(name, fields);
		if let Err(error) = print_text(&line) {
			tracing::warn!("{error:#}");
		}
	}

	/// One event as a line.
	fn line(&self, name: &str, fields: Value) -> String {
		let fields = match fields {
			Value::Object(fields) => fields,
			_ => Map::new(),
		};
		if self.json {
			let mut line = Map::new();
			line.insert(String::from("event"), Value::from(name));
			line.extend(fields);
			return Value::Object(line).to_string();
		}
		let shown = fields.iter().filter(|(name, _)| !is_exact(name));
		let words = shown.map(|(name, value)| {
			let value = match value {
				Value::String(text) => one_line(text),
				other => other.to_string(),
			};
			format!(" {name}={value}")
		});
		format!("{}:{}", name.replace('_', " "), words.collect::<String>())
	}
}

/// An account, shortened for people and logs.
pub fn short(account: &[u8; 32]) -> String {
	super::data::hex(account.get(..4).unwrap_or_default())
}

#[cfg(test)]
mod tests {
	use super::*;
	use serde_json::json;

	#[test]
	fn event_is_one_line_with_its_fields_in_order() {
		let fields = json!({
			"round": 3,
			"loss": "2.500",
			"loss_micronats": 2_500_123,
			"why": "a\nb",
		});
		let line = Report::new(true).line("training", fields.clone());
		assert!(line.starts_with(r#"{"event":"training","round":3,"#), "{line}");
		assert!(!line.contains('\n'));
		assert!(line.contains(r#""loss_micronats":2500123"#), "{line}");
		let line = Report::new(false).line("round_ended", fields);
		assert!(line.starts_with("round ended: round=3 loss=2.500 why="), "{line}");
		assert!(!line.contains('\n'));
		assert_eq!(Report::new(false).line("stopped", Value::Null), "stopped:");
	}
}
