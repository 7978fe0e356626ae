//! Folders that are whole or absent.

use std::{
	ffi::OsString,
	fs, io,
	path::{Path, PathBuf},
	process,
};

/// A folder in the making: it is filled beside its final name and renamed when it is whole. Dropped
/// before that, it is removed.
#[derive(Debug)]
pub struct Staging {
	target: PathBuf,
	unfinished: PathBuf,
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
		let name = target.file_name().ok_or_else(|| Error::Occupied(target.to_path_buf()))?;
		let mut hidden = OsString::from(".");
		hidden.push(name);
		hidden.push(format!(".{}.unfinished", process::id()));
		let unfinished = target.with_file_name(hidden);
		// A process of the same number that was killed may have left one; in a container all have it.
		match fs::remove_dir_all(&unfinished) {
			Err(error) if error.kind() != io::ErrorKind::NotFound => {
				return Err(refused("remove", &unfinished)(error));
			}
			_ => {}
		}
		fs::create_dir_all(&unfinished).map_err(refused("create the folder", &unfinished))?;
		Ok(Self { target: target.to_path_buf(), unfinished, finished: false })
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
		fs::rename(&self.unfinished, &self.target)
			.map_err(refused("give its name to", &self.target))?;
		self.finished = true;
		Ok(())
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
