//! Maps whose keys occur once.

use super::MAX_TENSORS;
use serde::{
	de::{Error as _, MapAccess, Visitor},
	Deserialize, Deserializer,
};
use std::{collections::HashSet, fmt, marker::PhantomData};

/// The entries of a map in their order. Unlike with the maps of the standard library, a key that
/// occurs twice is an error, and so are more than [`MAX_TENSORS`] keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unique<V>(pub Vec<(String, V)>);

impl<V> Default for Unique<V> {
	fn default() -> Self {
		Self(Vec::new())
	}
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Unique<V> {
	fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
		deserializer.deserialize_map(Entries(PhantomData))
	}
}

struct Entries<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for Entries<V> {
	type Value = Unique<V>;

	fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		write!(f, "a map of at most {MAX_TENSORS} keys, each once")
	}

	fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
		let mut entries = Vec::new();
		let mut keys = HashSet::new();
		while let Some(key) = map.next_key::<String>()? {
			if entries.len() == MAX_TENSORS {
				return Err(A::Error::custom(format!("there are more than {MAX_TENSORS} keys")));
			}
			if !keys.insert(key.clone()) {
				return Err(A::Error::custom(format!("{key:?} occurs twice")));
			}
			entries.push((key, map.next_value()?));
		}
		Ok(Unique(entries))
	}
}
