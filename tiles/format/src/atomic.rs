//! Files that are either the old ones or the new ones, whatever happens in between.

use crate::{Error, Result};
use std::{
	ffi::OsString,
	fs::{self, File, OpenOptions},
	io::{self, BufWriter, Write},
	path::{Path, PathBuf},
	process,
	sync::atomic::{AtomicU64, Ordering},
};

/// How the name of a file ends that is not finished.
const UNFINISHED: &str = ".unfinished";

/// Bytes that are collected before the operating system is asked to write them.
const BUFFER_BYTES: usize = 1 << 20;

/// Writes a file, replacing one of the same name.
///
/// `fill` writes the contents into a file beside `path`, which is then synced and renamed. Creates
/// the folder if it is missing. If anything fails, the old file stays and the new one is removed;
/// after a crash an unfinished file may stay behind, see [`sweep`].
pub fn write(path: &Path, fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> Result<()> {
	let folder = folder_of(path);
	fs::create_dir_all(folder).map_err(Error::io("create the folder", folder))?;
	let unfinished = unfinished_name(path);
	let written = write_unfinished(&unfinished, fill)
		.and_then(|()| fs::rename(&unfinished, path))
		.and_then(|()| sync_folder(folder));
	written.map_err(|source| {
		// What remains is swept later if even this fails; the first error is the one to report.
		let _ = fs::remove_file(&unfinished);
		Error::Io { action: "write", path: path.to_path_buf(), source }
	})
}

/// Removes what interrupted writes left in `folder`, and returns how many files that were.
///
/// Call it while nobody writes there. A missing folder has nothing to remove.
pub fn sweep(folder: &Path) -> Result<u32> {
	let entries = match fs::read_dir(folder) {
		Ok(entries) => entries,
		Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
		Err(error) => return Err(Error::io("list", folder)(error)),
	};
	let mut removed = 0u32;
	for entry in entries {
		let path = entry.map_err(Error::io("list", folder))?.path();
		let name = path.file_name().map(|name| name.to_string_lossy());
		if name.is_some_and(|name| name.starts_with('.') && name.ends_with(UNFINISHED)) {
			fs::remove_file(&path).map_err(Error::io("remove", &path))?;
			removed = removed.saturating_add(1);
		}
	}
	Ok(removed)
}

fn write_unfinished(
	path: &Path,
	fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
	// A process that was killed may have left a file of this name: in a container every process has
	// the same number, and counts from zero again.
	let file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
	let mut writer = BufWriter::with_capacity(BUFFER_BYTES, file);
	fill(&mut writer)?;
	writer.flush()?;
	// The rename must not reach the disk before the contents do.
	writer.get_ref().sync_all()
}

/// A hidden name in the same folder that nobody else uses now: a rename works only within one file
/// system, and two writers of one file must not write into one another's.
fn unfinished_name(path: &Path) -> PathBuf {
	static COUNTER: AtomicU64 = AtomicU64::new(0);
	let count = COUNTER.fetch_add(1, Ordering::Relaxed);
	let mut name = OsString::from(".");
	name.push(path.file_name().unwrap_or_default());
	name.push(format!(".{}.{count}{UNFINISHED}", process::id()));
	folder_of(path).join(name)
}

fn folder_of(path: &Path) -> &Path {
	match path.parent() {
		Some(folder) if !folder.as_os_str().is_empty() => folder,
		_ => Path::new("."),
	}
}

/// Makes the new name survive a power failure. Only Unix can sync a folder.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
	File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> io::Result<()> {
	Ok(())
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn what_a_killed_process_of_the_same_number_left_is_overwritten() {
		let folder = tempfile::tempdir().unwrap();
		let path = folder.path().join(".note.1.0.unfinished");
		fs::write(&path, "half of something longer").unwrap();
		write_unfinished(&path, |file| file.write_all(b"whole")).unwrap();
		assert_eq!(fs::read(&path).unwrap(), b"whole");
	}
}
