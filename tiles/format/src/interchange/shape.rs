//! Shapes in what strangers wrote, bounded while they are read.

use super::MAX_RANK;
use serde::{
	de::{Error as _, SeqAccess, Visitor},
	Deserialize, Deserializer,
};
use std::{fmt, marker::PhantomData};

/// Reads the dimensions of a tensor, and refuses one more than [`MAX_RANK`] when it comes: as many
/// as a file has bytes for would take several times its length in memory.
pub(super) fn dimensions<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
	D: Deserializer<'de>,
	T: Deserialize<'de>,
{
	deserializer.deserialize_seq(Dimensions(PhantomData))
}

struct Dimensions<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Dimensions<T> {
	type Value = Vec<T>;

	fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		write!(f, "at most {MAX_RANK} dimensions")
	}

	fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
		let mut dimensions = Vec::new();
		while let Some(dimension) = seq.next_element()? {
			if dimensions.len() == MAX_RANK {
				let problem = format!("a tensor has more than {MAX_RANK} dimensions");
				return Err(A::Error::custom(problem));
			}
			dimensions.push(dimension);
		}
		Ok(dimensions)
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use serde::de::value::{Error, SeqDeserializer};
	use std::iter;

	#[test]
	fn nothing_is_read_behind_one_dimension_too_many() {
		let most = SeqDeserializer::<_, Error>::new(iter::repeat_n(7u64, MAX_RANK));
		assert_eq!(dimensions::<_, u64>(most).unwrap(), [7; MAX_RANK]);
		let mut read = 0;
		let endless = iter::repeat(7u64).inspect(|_| read += 1);
		let refused = dimensions::<_, u64>(SeqDeserializer::<_, Error>::new(endless)).unwrap_err();
		assert_eq!(refused.to_string(), "a tensor has more than 8 dimensions");
		assert_eq!(read, MAX_RANK + 1);
	}
}
