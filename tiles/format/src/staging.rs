//! Folders that are whole or absent.

use crate::atomic;
use std::{
	ffi::OsString,
	fs::{self, File},
	io,
	path::{Path, PathBuf},
	process,
};

/// How the name of what is not finished ends.
const UNFINISHED: &str = ".unfinished";

/// A folder in the making: it is filled beside its final name and renamed when it is whole. Dropped
/// before that, it is removed. What a process that was killed left is removed by the next attempt at
/// the same folder.
#[derive(Debug)]
pub struct Staging {
	target: PathBuf,
	unfinished: PathBuf,
	/// Locked as long as this process works on the folder, so that no other takes it for abandoned.
	_lock: Option<File>,
	finished: bool,
}

/// Why a folder cannot be made, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
	/// There is something of that name.
	#[error("{} exists and is not an empty folder; name another one", .0.display())]
	Occupied(PathBuf),
	/// The operating system refused.
	#[error("cannot {action} {}: {source}; check that the path exists, that you may write there and that the disk has room", .path.display())]
	Io {
		/// What was tried.
		action: &'static str,
		/// On which file or folder.
		path: PathBuf,
		/// What the operating system said.
		source: io::Error,
	},
}

impl Staging {
	/// Begins the folder `target`, which must not exist yet, or be empty.
	pub fn begin(target: &Path) -> Result<Self, Error> {
		match fs::read_dir(target) {
			Ok(mut entries) => match entries.next() {
				None => {}
				Some(_) => return Err(Error::Occupied(target.to_path_buf())),
			},
			Err(error) if error.kind() == io::ErrorKind::NotFound => {}
			_ => return Err(Error::Occupied(target.to_path_buf())),
		}
		let unfinished =
			unfinished_name(target).ok_or_else(|| Error::Occupied(target.to_path_buf()))?;
		remove_abandoned(target);
		// A process of the same number that was killed may have left one; in a container all have it.
		match fs::remove_dir_all(&unfinished) {
			Err(error) if error.kind() != io::ErrorKind::NotFound => {
				return Err(refused("remove", &unfinished)(error));
			}
			_ => {}
		}
		fs::create_dir_all(&unfinished).map_err(refused("create the folder", &unfinished))?;
		// Where folders cannot be locked, what is left is not removed either.
		let lock = File::open(&unfinished).ok().filter(|folder| folder.try_lock().is_ok());
		Ok(Self { target: target.to_path_buf(), unfinished, _lock: lock, finished: false })
	}

	/// Where to write for now.
	pub fn path(&self) -> &Path {
		&self.unfinished
	}

	/// Gives the folder its name.
	pub fn finish(mut self) -> Result<(), Error> {
		// Only an empty folder is in the way, which `begin` has checked; a full one is not removed.
		match fs::remove_dir(&self.target) {
			Err(error) if error.kind() != io::ErrorKind::NotFound => {
				return Err(Error::Occupied(self.target.clone()));
			}
			_ => {}
		}
		// The rename must not reach the disk before the contents do.
		sync_all(&self.unfinished).map_err(refused("write", &self.unfinished))?;
		fs::rename(&self.unfinished, &self.target)
			.map_err(refused("give its name to", &self.target))?;
		self.finished = true;
		atomic::sync_name(&self.target).map_err(refused("give its name to", &self.target))
	}
}

impl Drop for Staging {
	fn drop(&mut self) {
		if !self.finished {
			// Whatever went wrong before is what the user has to hear of.
			let _ = fs::remove_dir_all(&self.unfinished);
		}
	}
}

/// A hidden name beside `target` for what this process has not finished yet.
pub fn unfinished_name(target: &Path) -> Option<PathBuf> {
	let mut hidden = OsString::from(".");
	hidden.push(target.file_name()?);
	hidden.push(format!(".{}{UNFINISHED}", process::id()));
	Some(target.with_file_name(hidden))
}

/// What has a name that [`unfinished_name`] gives in any process.
pub fn unfinished_names(target: &Path) -> Vec<PathBuf> {
	let Some(name) = target.file_name() else { return Vec::new() };
	let prefix = format!(".{}.", name.to_string_lossy());
	let is_one = |path: &PathBuf| {
		let found = path.file_name().unwrap_or_default().to_string_lossy();
		let rest = found.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(UNFINISHED));
		rest.is_some_and(|number| number.parse::<u32>().is_ok())
	};
	let folder = match target.parent() {
		Some(folder) if !folder.as_os_str().is_empty() => folder,
		_ => Path::new("."),
	};
	// A folder that cannot be read has nothing that could be removed.
	let entries = fs::read_dir(folder).into_iter().flatten().flatten();
	entries.map(|entry| entry.path()).filter(is_one).collect()
}

/// Removes what attempts at `target` left whose processes have ended: it was never anything.
fn remove_abandoned(target: &Path) {
	for path in unfinished_names(target) {
		if File::open(&path).is_ok_and(|folder| folder.try_lock().is_ok()) {
			// What cannot be removed is in nobody's way.
			let _ = fs::remove_dir_all(&path);
		}
	}
}

/// Makes everything in a folder survive a power failure. Only Unix can sync a folder.
#[cfg(unix)]
fn sync_all(folder: &Path) -> io::Result<()> {
	for entry in fs::read_dir(folder)? {
		let entry = entry?;
		if entry.file_type()?.is_dir() {
			sync_all(&entry.path())?;
		} else {
			File::open(entry.path())?.sync_all()?;
		}
	}
	File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_all(_folder: &Path) -> io::Result<()> {
	Ok(())
}

fn refused(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
	let path = path.to_path_buf();
	move |source| Error::Io { action, path, source }
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn folder_appears_when_it_is_whole_and_leaves_nothing_behind() {
		let folder = tempfile::tempdir().unwrap();
		let target = folder.path().join("deep").join("target");
		let staging = Staging::begin(&target).unwrap();
		fs::write(staging.path().join("file"), "1").unwrap();
		assert!(!target.exists());
		drop(staging);
		assert_eq!(fs::read_dir(target.parent().unwrap()).unwrap().count(), 0);

		fs::create_dir(&target).unwrap();
		let staging = Staging::begin(&target).unwrap();
		fs::write(staging.path().join("file"), "2").unwrap();
		staging.finish().unwrap();
		assert_eq!(fs::read_to_string(target.join("file")).unwrap(), "2");
		assert_eq!(fs::read_dir(target.parent().unwrap()).unwrap().count(), 1);
	}

	#[test]
	fn what_a_killed_process_left_does_not_get_into_the_folder() {
		let folder = tempfile::tempdir().unwrap();
		let target = folder.path().join("target");
		let killed = Staging::begin(&target).unwrap();
		fs::write(killed.path().join("old"), "1").unwrap();
		// As if it had never been dropped.
		std::mem::forget(killed);
		let staging = Staging::begin(&target).unwrap();
		fs::write(staging.path().join("new"), "2").unwrap();
		staging.finish().unwrap();
		assert!(!target.join("old").exists());
		assert_eq!(fs::read_to_string(target.join("new")).unwrap(), "2");
	}

	#[cfg(unix)]
	#[test]
	fn what_killed_processes_left_is_removed_and_what_others_work_on_is_not() {
		let folder = tempfile::tempdir().unwrap();
		let target = folder.path().join("target");
		let abandoned = folder.path().join(".target.4711.unfinished");
		let in_use = folder.path().join(".target.4712.unfinished");
		let others =
			[".target.a.4711.unfinished", ".other.4711.unfinished", "target.4711.unfinished"]
				.map(|name| folder.path().join(name));
		for path in [&abandoned, &in_use].into_iter().chain(&others) {
			fs::create_dir(path).unwrap();
			fs::write(path.join("half"), "1").unwrap();
		}
		let lock = File::open(&in_use).unwrap();
		lock.try_lock().unwrap();

		let staging = Staging::begin(&target).unwrap();
		assert!(!abandoned.exists());
		assert!([&in_use].into_iter().chain(&others).all(|path| path.exists()));
		// It is locked itself.
		assert!(File::open(staging.path()).unwrap().try_lock().is_err());
		staging.finish().unwrap();
		assert!(target.exists() && in_use.exists());
	}

	#[test]
	fn what_is_there_is_never_overwritten() {
		let folder = tempfile::tempdir().unwrap();
		fs::write(folder.path().join("file"), "1").unwrap();
		assert!(matches!(Staging::begin(folder.path()), Err(Error::Occupied(_))));
		let file = folder.path().join("file");
		assert!(matches!(Staging::begin(&file), Err(Error::Occupied(_))));
		assert!(matches!(Staging::begin(Path::new("/")), Err(Error::Occupied(_))));
	}
}
