//! Files of burn-pack, burn's own format for weights: written with burn's crate.
//!
//! [`blyan_tiles::interchange::burnpack`] reads them. Written: `F32`, `F16`, `BF16`, `I8` with the
//! scales as tensors of their own, and `I32` with the fraction bits in the metadata. What is written
//! and read again has the same values.

use blyan_primitives::tensor::DType;
use blyan_tiles::{
	atomic,
	interchange::{Error, Export, Result, Source},
};
use burn_pack::{Bytes, DType as PackType, Tensor, Writer};
use std::{
	io,
	path::Path,
	sync::{Arc, Mutex},
};

/// Writes the tensors of a source to a file, atomically and one after another.
pub fn write_file<S>(path: &Path, source: &Arc<S>, export: &Export) -> Result<()>
where
	S: Source + Send + Sync + 'static,
{
	let export = Arc::new(export.clone());
	// The writer keeps only what an error says.
	let failed: Arc<Mutex<Option<Error>>> = Arc::default();
	let mut tensors = Vec::with_capacity(export.entries().len());
	for (place, entry) in export.entries().iter().enumerate() {
		let length = usize::try_from(entry.length()?)
			.map_err(|_| Error::tensor(&entry.name, "is longer than this machine can address"))?;
		let shape: Vec<usize> = entry.shape.iter().map(|extent| *extent as usize).collect();
		let dtype = written_type(entry.stored.dtype());
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
	// The writer's own way to be atomic would leave what no sweep knows if the process is killed.
	atomic::write_named(path, |unfinished| {
		writer.write_to_file_in_place(unfinished).map_err(|error| {
			let failed = failed.lock().ok().and_then(|mut failed| failed.take());
			failed.unwrap_or_else(|| io_error("write", path)(io::Error::other(error.to_string())))
		})
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
