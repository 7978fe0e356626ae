//! The part of protobuf that ONNX graphs need, with one encoding for each message: fields in ascending
//! order, numbers in their shortest form.

use super::{Error, ErrorKind};

/// A field is a number.
const VARINT: u64 = 0;
/// A field is bytes, text or a message, behind its length.
const LENGTH: u64 = 2;
/// Bytes of the longest number that is read: 35 bits.
const MAX_VARINT_BYTES: usize = 5;
/// Bits of a number that one byte has.
const BITS_PER_BYTE: usize = 7;
/// Says that another byte of the number follows.
const MORE: u8 = 0x80;

/// Writes a message.
#[derive(Default)]
pub(super) struct Writer {
	bytes: Vec<u8>,
}

impl Writer {
	/// A field that is a number.
	pub fn number(&mut self, field: u64, value: u64) {
		self.varint((field << 3) | VARINT);
		self.varint(value);
	}

	/// A field that is bytes.
	pub fn bytes(&mut self, field: u64, bytes: &[u8]) {
		self.varint((field << 3) | LENGTH);
		self.varint(bytes.len() as u64);
		self.bytes.extend_from_slice(bytes);
	}

	/// A field that is text.
	pub fn text(&mut self, field: u64, text: &str) {
		self.bytes(field, text.as_bytes());
	}

	/// A field that is a message.
	pub fn message(&mut self, field: u64, fill: impl FnOnce(&mut Writer)) {
		let mut message = Writer::default();
		fill(&mut message);
		self.bytes(field, &message.bytes);
	}

	/// The message.
	pub fn finish(self) -> Vec<u8> {
		self.bytes
	}

	fn varint(&mut self, mut value: u64) {
		while value >= u64::from(MORE) {
			self.bytes.push((value as u8) | MORE);
			value >>= BITS_PER_BYTE;
		}
		self.bytes.push(value as u8);
	}
}

/// Reads a message, field after field. Knows where in the whole it is.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
	rest: &'a [u8],
	offset: u32,
}

impl<'a> Reader<'a> {
	/// Reads the whole, which is at most 4 GiB.
	pub fn new(bytes: &'a [u8]) -> Self {
		Self { rest: bytes, offset: 0 }
	}

	/// Where in the whole the next byte is.
	pub fn offset(&self) -> u32 {
		self.offset
	}

	/// An error at the next byte.
	pub fn refuse(&self, kind: ErrorKind) -> Error {
		Error { offset: self.offset, kind }
	}

	/// The number in the next field, which must be this one.
	pub fn number(&mut self, field: u64) -> Result<u64, Error> {
		self.key((field << 3) | VARINT, field)?;
		self.varint()
	}

	/// Checks that the next field is this one, and this number.
	pub fn exactly(&mut self, field: u64, value: u64) -> Result<(), Error> {
		let start = *self;
		if self.number(field)? != value {
			return Err(start.refuse(ErrorKind::Number { field, value }));
		}
		Ok(())
	}

	/// The contents of the next field, which must be this one.
	pub fn message(&mut self, field: u64) -> Result<Reader<'a>, Error> {
		self.key((field << 3) | LENGTH, field)?;
		self.contents()
	}

	/// The contents of the next field if it is this one.
	pub fn optional(&mut self, field: u64) -> Result<Option<Reader<'a>>, Error> {
		if self.is_next((field << 3) | LENGTH) {
			return self.message(field).map(Some);
		}
		Ok(None)
	}

	/// Checks that the next field is this one, and this text.
	pub fn expect(&mut self, field: u64, text: &'static str) -> Result<(), Error> {
		let contents = self.message(field)?;
		if contents.rest != text.as_bytes() {
			return Err(contents.refuse(ErrorKind::Text { text }));
		}
		Ok(())
	}

	/// The bytes that are left, to be read as a whole.
	pub fn rest(&self) -> &'a [u8] {
		self.rest
	}

	/// Checks that nothing is left.
	pub fn end(&self) -> Result<(), Error> {
		if self.rest.is_empty() {
			return Ok(());
		}
		Err(self.refuse(ErrorKind::Trailing))
	}

	/// Whether the next field has this key.
	fn is_next(&self, key: u64) -> bool {
		let mut ahead = *self;
		ahead.varint() == Ok(key)
	}

	fn key(&mut self, key: u64, field: u64) -> Result<(), Error> {
		if self.rest.is_empty() {
			return Err(self.refuse(ErrorKind::Cut));
		}
		if !self.is_next(key) {
			return Err(self.refuse(ErrorKind::Field { field }));
		}
		self.varint().map(|_| ())
	}

	fn contents(&mut self) -> Result<Reader<'a>, Error> {
		let start = *self;
		let length = self.varint()?;
		let split = usize::try_from(length).ok().and_then(|length| {
			let contents = self.rest.get(..length)?;
			Some((contents, self.rest.get(length..)?))
		});
		let Some((contents, rest)) = split else { return Err(start.refuse(ErrorKind::Cut)) };
		let message = Reader { rest: contents, offset: self.offset };
		self.rest = rest;
		// The whole is shorter than 4 GiB, so nothing is lost.
		self.offset = self.offset.saturating_add(length as u32);
		Ok(message)
	}

	fn varint(&mut self) -> Result<u64, Error> {
		let start = *self;
		let mut value = 0u64;
		for place in 0..MAX_VARINT_BYTES {
			let Some((byte, rest)) = self.rest.split_first() else {
				return Err(start.refuse(ErrorKind::Cut));
			};
			self.rest = rest;
			self.offset = self.offset.saturating_add(1);
			value |= u64::from(byte & !MORE) << (BITS_PER_BYTE * place);
			if byte & MORE == 0 {
				// A last byte of zero adds nothing, so the number has a shorter form.
				let is_shortest = *byte != 0 || place == 0;
				return if is_shortest { Ok(value) } else { Err(start.refuse(ErrorKind::Varint)) };
			}
		}
		Err(start.refuse(ErrorKind::Varint))
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	fn read(bytes: &[u8]) -> Result<u64, ErrorKind> {
		Reader::new(bytes).varint().map_err(|error| error.kind)
	}

	#[test]
	fn numbers_have_one_form() {
		for value in [0, 1, 127, 128, 300, 16_383, 16_384, u64::from(u32::MAX), (1 << 35) - 1] {
			let mut writer = Writer::default();
			writer.varint(value);
			let bytes = writer.finish();
			assert_eq!(read(&bytes), Ok(value));
			for length in 0..bytes.len() {
				assert_eq!(read(&bytes[..length]), Err(ErrorKind::Cut));
			}
		}
		for longer in [[0x80, 0].as_slice(), &[0x81, 0], &[0xff, 0x80, 0], &[0xff; 6]] {
			assert_eq!(read(longer), Err(ErrorKind::Varint), "{longer:?}");
		}
	}

	#[test]
	fn messages_know_where_they_are() {
		let mut writer = Writer::default();
		writer.number(1, 300);
		writer.message(2, |message| message.text(3, "abc"));
		let bytes = writer.finish();
		assert_eq!(bytes, b"\x08\xac\x02\x12\x05\x1a\x03abc");
		let mut reader = Reader::new(&bytes);
		assert_eq!(reader.number(1), Ok(300));
		assert!(reader.optional(3).is_ok_and(|field| field.is_none()));
		let mut message = reader.message(2).unwrap();
		assert_eq!(message.offset(), 5);
		assert_eq!(message.expect(3, "abc"), Ok(()));
		assert_eq!((message.end(), reader.end()), (Ok(()), Ok(())));
	}
}
