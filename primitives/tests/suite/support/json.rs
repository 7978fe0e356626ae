//! Reads the golden vectors.

use blyan_primitives::H256;
use serde_json::Value;

pub fn load(text: &str) -> Value {
	serde_json::from_str(text).unwrap()
}

pub fn list(value: &Value) -> &[Value] {
	value.as_array().unwrap()
}

pub fn number(value: &Value) -> u64 {
	value.as_u64().unwrap()
}

pub fn int<T: TryFrom<u64>>(value: &Value) -> T {
	T::try_from(number(value)).ok().unwrap()
}

pub fn text(value: &Value) -> &str {
	value.as_str().unwrap()
}

pub fn hex(value: &Value) -> Vec<u8> {
	let text = text(value);
	assert_eq!(text.len() % 2, 0);
	(0..text.len())
		.step_by(2)
		.map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
		.collect()
}

pub fn array(value: &Value) -> [u8; 32] {
	hex(value).try_into().unwrap()
}

pub fn hash(value: &Value) -> H256 {
	H256(array(value))
}
