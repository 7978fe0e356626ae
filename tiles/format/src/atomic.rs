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
/// the folder if it is missing. If anything fails, the old file stays and the new one is removed
/// (or, if only the last step fails, which makes the name survive a power failure, the new file is
/// there and whole). After a crash an unfinished file may stay behind, see [`sweep`].
pub fn write(path: &Path, fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> Result<()> {
	let mut unfinished = Unfinished::create(path)?;
	fill(&mut unfinished.writer).map_err(Error::io("write", path))?;
	unfinished.commit()
}

/// The same for what opens files by their names: `fill` gets the name of the file beside `path`,
/// which is there and empty, and fills that very file.
pub fn write_named<E: From<Error>>(
	path: &Path,
	fill: impl FnOnce(&Path) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
	let unfinished = Unfinished::create(path)?;
	fill(&unfinished.path)?;
	unfinished.commit().map_err(E::from)
}

/// A file that has not got its name yet. It is removed if it is dropped without it.
pub(crate) struct Unfinished {
	target: PathBuf,
	/// Where the contents are until then.
	path: PathBuf,
	/// Takes the contents.
	pub writer: BufWriter<File>,
}

impl Unfinished {
	/// A file beside `target`, in a folder that is created if it is missing.
	pub fn create(target: &Path) -> Result<Self> {
		let folder = folder_of(target);
		fs::create_dir_all(folder).map_err(Error::io("create the folder", folder))?;
		let path = unfinished_name(target);
		let file = create_anew(&path).map_err(Error::io("write", target))?;
		let writer = BufWriter::with_capacity(BUFFER_BYTES, file);
		Ok(Self { target: target.to_path_buf(), path, writer })
	}

	/// Syncs the contents and gives them the name, replacing a file that has it.
	pub fn commit(mut self) -> Result<()> {
		let written = self
			.writer
			.flush()
			// The rename must not reach the disk before the contents do.
			.and_then(|()| self.writer.get_ref().sync_all())
			.and_then(|()| fs::rename(&self.path, &self.target));
		if written.is_ok() {
			// Another process may use the name from now on.
			self.path.clear();
		}
		written.and_then(|()| sync_name(&self.target)).map_err(Error::io("write", &self.target))
	}
}

impl Drop for Unfinished {
	fn drop(&mut self) {
		// The path is empty if it got its name. What remains is swept later if even this fails; an
		// earlier error is the one to report.
		let _ = fs::remove_file(&self.path);
	}
}

/// Gives the bytes of `source` the name `target` as well, replacing a file of that name.
///
/// The two share their bytes on disk where the file system can do that, and are copies of one another
/// where it cannot. Sharing is safe as long as files are replaced and never changed in place.
pub fn share(source: &Path, target: &Path) -> Result<()> {
	let folder = folder_of(target);
	fs::create_dir_all(folder).map_err(Error::io("create the folder", folder))?;
	let unfinished = unfinished_name(target);
	// A killed process of the same number may have left a file of this name, which no link replaces.
	remove_if_there(&unfinished).map_err(Error::io("remove", &unfinished))?;
	if fs::hard_link(source, &unfinished).is_ok() {
		let shared = fs::rename(&unfinished, target).and_then(|()| sync_name(target));
		// Where both are names of one file already, renaming does nothing and leaves both.
		let _ = fs::remove_file(&unfinished);
		return shared.map_err(Error::io("replace", target));
	}
	let mut file = File::open(source).map_err(Error::io("open", source))?;
	write(target, |copy| io::copy(&mut file, copy).map(|_| ()))
}

/// Makes the name of a file or folder survive a power failure, after it was created or renamed.
pub fn sync_name(path: &Path) -> io::Result<()> {
	sync_folder(folder_of(path))
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

/// Creates a file of this name, in place of what has it.
fn create_anew(path: &Path) -> io::Result<File> {
	// A process that was killed may have left a file of this name: in a container every process has
	// the same number, and counts from zero again. It may be a second name of a file that is in use
	// (see `share`), so it must not be written over.
	remove_if_there(path)?;
	OpenOptions::new().write(true).create_new(true).open(path)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
	match fs::remove_file(path) {
		Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
		_ => Ok(()),
	}
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

/// Only Unix can sync a folder.
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
		create_anew(&path).unwrap().write_all(b"whole").unwrap();
		assert_eq!(fs::read(&path).unwrap(), b"whole");
	}

	#[test]
	fn file_that_is_filled_by_its_name_replaces_the_old_one_when_it_is_whole() {
		let folder = tempfile::tempdir().unwrap();
		let path = folder.path().join("deep").join("note");
		let fill = |file: &Path, text: &str| fs::write(file, text).map_err(Error::io("fill", file));
		write_named(&path, |file| fill(file, "1")).unwrap();
		write_named(&path, |file| fill(file, "2")).unwrap();
		let cut_off: Result<()> = write_named(&path, |file| {
			fill(file, "3")?;
			Err(Error::io("fill", file)(io::Error::other("the cable was pulled")))
		});
		assert!(cut_off.is_err());
		assert_eq!(fs::read(&path).unwrap(), b"2");
		assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
	}

	#[test]
	fn what_a_killed_process_left_is_not_written_through_to_the_file_that_it_names() {
		let folder = tempfile::tempdir().unwrap();
		let [source, leftover] =
			["source", ".target.1.0.unfinished"].map(|name| folder.path().join(name));
		fs::write(&source, "in use").unwrap();
		fs::hard_link(&source, &leftover).unwrap();
		create_anew(&leftover).unwrap().write_all(b"new").unwrap();
		assert_eq!(fs::read(&source).unwrap(), b"in use");
		assert_eq!(fs::read(&leftover).unwrap(), b"new");
	}

	#[test]
	fn shared_file_keeps_its_bytes_and_leaves_nothing_behind() {
		let folder = tempfile::tempdir().unwrap();
		let [source, target] = ["source", "deep/target"].map(|name| folder.path().join(name));
		fs::write(&source, "1").unwrap();
		// The second time both are names of one file.
		for _ in 0..2 {
			share(&source, &target).unwrap();
			assert_eq!(fs::read(&target).unwrap(), b"1");
			assert_eq!(fs::read_dir(target.parent().unwrap()).unwrap().count(), 1);
		}
		write(&source, |file| file.write_all(b"2")).unwrap();
		assert_eq!(fs::read(&target).unwrap(), b"1");
		share(&source, &target).unwrap();
		assert_eq!(fs::read(&target).unwrap(), b"2");
		assert!(share(&folder.path().join("absent"), &target).is_err());
		assert_eq!(fs::read(&target).unwrap(), b"2");
	}
}
