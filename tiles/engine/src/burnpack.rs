//! Files of burn-pack, burn's own format for weights.
//!
//! The `burn-pack` crate writes them and defines their header. Its reader is not used: it would lose
//! one of two tensors of the same name, does not mind bytes that belong to two, and opens the file
//! again, by its path, for every tensor.
//!
//! Read: `F32`, `F16`, `BF16`, and `I32` in files whose metadata states fraction bits. Written:
//! these. What is written and read again has the same values.

use blyan_primitives::tensor::DType;
use blyan_tiles::{
	convert::Values,
	interchange::{
		check_entries, stated_fraction_bits, Entry, Error, Export, Result, Source, Stored, Unique,
		MAX_HEADER_BYTES,
	},
};
use burn_pack::{
	aligned_data_section_start, Bytes, DType as PackType, Header, Tensor, Writer, FORMAT_VERSION,
	HEADER_SIZE,
};
use serde::Deserialize;
use std::{
	collections::BTreeMap,
	fs::{self, File},
	io::{self, Read, Seek, SeekFrom},
	path::{Path, PathBuf},
	sync::{Arc, Mutex, PoisonError},
};

/// How the name of a file ends.
pub const EXTENSION: &str = burn_pack::EXTENSION;

const FORMAT: &str = "burn-pack";
/// Nested deeper than this is no list of tensors.
const MAX_DEPTH: usize = 16;

/// A file of burn-pack.
pub struct Burnpack {
	path: PathBuf,
	/// What the list was read from, so that values are never those of another file of that name.
	file: Mutex<File>,
	/// For each tensor where its bytes begin and end.
	ranges: Vec<(u64, u64)>,
	entries: Vec<Entry>,
	metadata: BTreeMap<String, String>,
}

/// What is needed of a file's metadata to check it.
#[derive(Deserialize)]
struct Listed {
	tensors: Unique<Descriptor>,
	#[serde(default)]
	metadata: Unique<String>,
}

/// What a file says of a tensor.
#[derive(Deserialize)]
struct Descriptor {
	dtype: PackType,
	shape: Vec<u64>,
	data_offsets: (u64, u64),
}

impl Burnpack {
	/// Opens a file and reads which tensors it has. Their bytes are read when they are asked for.
	pub fn open(path: &Path) -> Result<Self> {
		let mut file = File::open(path).map_err(io_error("open", path))?;
		let (start, listed) = read_list(&mut file, path)?;
		let Listed { tensors: Unique(mut tensors), metadata } = listed;
		tensors.sort_by_key(|(_, tensor)| tensor.data_offsets);
		for ((_, before), (name, after)) in tensors.iter().zip(tensors.iter().skip(1)) {
			if before.data_offsets.1 > after.data_offsets.0 {
				return Err(Error::tensor(name, "shares bytes with another; export it again"));
			}
		}
		let length = file.metadata().map_err(io_error("examine", path))?.len();
		let ranges: Result<Vec<(u64, u64)>> =
			tensors.iter().map(|(name, tensor)| range(name, tensor, start, length)).collect();
		let ranges = ranges?;
		let metadata = metadata.0.into_iter().collect();
		let fraction_bits = stated_fraction_bits(&metadata);
		let entries: Result<Vec<Entry>> =
			tensors.into_iter().map(|(name, tensor)| entry(name, tensor, fraction_bits)).collect();
		let entries = entries?;
		check_entries(&entries)?;
		for (entry, (start, end)) in entries.iter().zip(&ranges) {
			let expected = entry.count().checked_mul(entry.stored.dtype().element_bytes());
			if expected != Some(end - start) {
				let problem = "has another number of bytes than its shape says; export it again";
				return Err(Error::tensor(&entry.name, problem));
			}
		}
		Ok(Self { path: path.to_path_buf(), file: Mutex::new(file), ranges, entries, metadata })
	}
}

impl Source for Burnpack {
	fn entries(&self) -> &[Entry] {
		&self.entries
	}

	fn metadata(&self) -> &BTreeMap<String, String> {
		&self.metadata
	}

	fn read(&self, place: usize) -> Result<Values> {
		let found = self.entries.get(place).zip(self.ranges.get(place));
		let (entry, (start, end)) = found.ok_or_else(|| Error::tensor("", "is not there"))?;
		let length = usize::try_from(end.saturating_sub(*start))
			.map_err(|_| Error::tensor(&entry.name, "is longer than this machine can address"))?;
		let mut bytes = vec![0; length];
		let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
		file.seek(SeekFrom::Start(*start))
			.and_then(|_| file.read_exact(&mut bytes))
			.map_err(io_error("read", &self.path))?;
		drop(file);
		// Of these formats, each is one of ours.
		Ok(Values::decode(entry.stored.dtype(), entry.fraction_bits, &bytes, &[], 1))
	}
}

/// Where the tensors of a file begin, and their list, each once.
fn read_list(file: &mut File, path: &Path) -> Result<(u64, Listed)> {
	let length = file.metadata().map_err(io_error("examine", path))?.len();
	let mut header = [0; HEADER_SIZE];
	if length < HEADER_SIZE as u64 {
		return Err(wrong(length, String::from("it ends before the header")));
	}
	file.read_exact(&mut header).map_err(io_error("read", path))?;
	let header = Header::from_bytes(&header).map_err(refused)?;
	if header.version > FORMAT_VERSION {
		let problem = format!("version {} is newer than {FORMAT_VERSION}", header.version);
		return Err(wrong(0, problem));
	}
	let list = u64::from(header.metadata_size);
	if list > MAX_HEADER_BYTES || list > length - HEADER_SIZE as u64 {
		let problem = format!("a list of {list} bytes in a file of {length} is too long");
		return Err(wrong(0, problem));
	}
	let mut bytes = Vec::with_capacity(list as usize);
	file.take(list).read_to_end(&mut bytes).map_err(io_error("read", path))?;
	let listed = ciborium::de::from_reader_with_recursion_limit(bytes.as_slice(), MAX_DEPTH)
		.map_err(|error| wrong(HEADER_SIZE as u64, error.to_string()))?;
	Ok((aligned_data_section_start(list as usize) as u64, listed))
}

/// Where a tensor lies in a file of `length` bytes whose tensors begin at `start`.
fn range(name: &str, tensor: &Descriptor, start: u64, length: u64) -> Result<(u64, u64)> {
	let (from, to) = tensor.data_offsets;
	match (start.checked_add(from), start.checked_add(to)) {
		(Some(from), Some(to)) if from <= to && to <= length => Ok((from, to)),
		_ => Err(Error::tensor(name, "does not lie within the file; fetch it again")),
	}
}

fn entry(name: String, tensor: Descriptor, fraction_bits: Option<u8>) -> Result<Entry> {
	let (stored, fraction_bits) = match (tensor.dtype, fraction_bits) {
		(PackType::F32 | PackType::Flex32, _) => (Stored::F32, 0),
		(PackType::F16, _) => (Stored::F16, 0),
		(PackType::BF16, _) => (Stored::Bf16, 0),
		(PackType::I32, Some(bits)) => (Stored::I32, bits),
		(PackType::I32, None) => {
			let problem = "is i32, but the metadata states no fraction_bits; export it as f32";
			return Err(Error::tensor(&name, problem));
		}
		(other, _) => {
			let problem = format!("is {}, which is not read; export it as f32", other.name());
			return Err(Error::tensor(&name, problem));
		}
	};
	Ok(Entry { name, shape: tensor.shape, stored, fraction_bits })
}

/// Writes the tensors of a source to a file, atomically and one after another. If the process is
/// killed, a file remains beside it whose name ends in `.tmp`.
pub fn write_file<S>(path: &Path, source: &Arc<S>, export: &Export) -> Result<()>
where
	S: Source + Send + Sync + 'static,
{
	if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
		fs::create_dir_all(folder).map_err(io_error("create the folder", folder))?;
	}
	let export = Arc::new(export.clone());
	// The writer keeps only what an error says.
	let failed: Arc<Mutex<Option<Error>>> = Arc::default();
	let mut tensors = Vec::with_capacity(source.entries().len());
	for (place, entry) in source.entries().iter().enumerate() {
		let length = export.length(entry, place)?;
		let length = usize::try_from(length)
			.map_err(|_| Error::tensor(&entry.name, "is longer than this machine can address"))?;
		let shape: Vec<usize> = entry.shape.iter().map(|extent| *extent as usize).collect();
		let dtype = written_type(export.dtype(place));
		let (source, export, failed) = (source.clone(), export.clone(), failed.clone());
		let provide = move || {
			export.bytes(&*source, place).map(Bytes::from_bytes_vec).map_err(|error| {
				let problem = error.to_string();
				if let Ok(mut failed) = failed.lock() {
					*failed = Some(error);
				}
				burn_pack::Error::ValidationError(problem)
			})
		};
		tensors.push(Tensor::deferred(entry.name.clone(), dtype, shape, None, length, provide));
	}
	let mut writer = Writer::new(tensors).auto_extension(false);
	for (key, value) in export.metadata() {
		writer = writer.with_metadata(key, value);
	}
	writer.write_to_file(path).map_err(|error| {
		let failed = failed.lock().ok().and_then(|mut failed| failed.take());
		failed.unwrap_or_else(|| io_error("write", path)(io::Error::other(error.to_string())))
	})
}

fn written_type(dtype: DType) -> PackType {
	match dtype {
		DType::I32 => PackType::I32,
		DType::I8 => PackType::I8,
		DType::F16 => PackType::F16,
		DType::Bf16 => PackType::BF16,
		DType::F32 => PackType::F32,
	}
}

/// Wraps what the operating system said.
fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
	let path = path.to_path_buf();
	move |source| Error::Tile(blyan_tiles::Error::Io { action, path, source })
}

fn wrong(offset: u64, problem: String) -> Error {
	Error::File { format: FORMAT, offset, problem }
}

/// What the crate says, which knows no offsets.
fn refused(error: burn_pack::Error) -> Error {
	wrong(0, error.to_string())
}
