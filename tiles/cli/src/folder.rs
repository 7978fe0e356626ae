//! A model's weights in a folder: `<component>.blyt` for each component, and `model.json`, which
//! says what the model is and which roots its components have.
//!
//! `model init` writes such a folder, `model pull` fetches one, and whoever has one can check it
//! without the chain, or compare its roots with those of the chain.

use blyan_engine::{Mapped, Weights};
use blyan_primitives::{
	model::{Architecture, Component},
	H256,
};
use blyan_tiles::{
	staging::{self, Staging},
	TileFile,
};
use serde::{Deserialize, Serialize};
use std::{
	fs::{self, File},
	io::{self, Read},
	path::{Path, PathBuf},
};

/// The file that says what the model is.
pub const MODEL_FILE: &str = "model.json";
/// The only version of that file.
const VERSION: u8 = 1;
/// The most bytes of that file: 512 components take a tenth of it.
const MAX_MODEL_FILE_BYTES: u64 = 1 << 20;

/// The result of everything in this module.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a model's folder cannot be read, written or trusted, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
	/// The folder cannot be made.
	#[error(transparent)]
	Staging(#[from] staging::Error),
	/// A tile file is damaged.
	#[error(transparent)]
	Tile(#[from] blyan_tiles::Error),
	/// The weights do not fit the architecture.
	#[error(transparent)]
	Engine(#[from] blyan_engine::Error),
	/// The operating system refused.
	#[error("cannot {action} {}: {source}; check that this is the folder of a model", .path.display())]
	Io {
		/// What was tried.
		action: &'static str,
		/// On which file.
		path: PathBuf,
		/// What the operating system said.
		source: io::Error,
	},
	/// The file that says what the model is, is damaged or something else.
	#[error("{} is refused: {problem}; fetch or make the model again", .path.display())]
	Description {
		/// The file.
		path: PathBuf,
		/// What is wrong with it.
		problem: String,
	},
}

/// What a folder's model is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
	/// The version of this description.
	pub version: u8,
	/// The dimensions, which all names and lengths follow from.
	pub architecture: Architecture,
	/// What the first weights follow from, if these are they.
	#[serde(default, skip_serializing_if = "Option::is_none")]
	pub seed: Option<H256>,
	/// The snapshot that was fetched, if one was.
	#[serde(default, skip_serializing_if = "Option::is_none")]
	pub snapshot: Option<Snapshot>,
	/// The root of each component, in the order of the architecture.
	pub roots: Vec<H256>,
}

/// A snapshot of a model of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
	/// Number of the model.
	pub model: u32,
	/// Number of the snapshot.
	pub number: u32,
}

impl Description {
	/// The description of these components. Fails if there are too many or too few.
	pub fn new(
		architecture: Architecture,
		seed: Option<H256>,
		snapshot: Option<Snapshot>,
		roots: Vec<H256>,
	) -> Result<Self> {
		let description = Self { version: VERSION, architecture, seed, snapshot, roots };
		description.check(Path::new(MODEL_FILE))?;
		Ok(description)
	}

	/// Refuses what does not make sense.
	fn check(&self, path: &Path) -> Result<()> {
		let refuse =
			|problem: String| Err(Error::Description { path: path.to_path_buf(), problem });
		if self.version != VERSION {
			return refuse(format!("version {} is unknown", self.version));
		}
		if let Err(error) = self.architecture.validate() {
			return refuse(error.to_string());
		}
		let expected = self.architecture.component_count() as usize;
		if self.roots.len() != expected {
			let found = self.roots.len();
			return refuse(format!("the model has {expected} components, found {found} roots"));
		}
		Ok(())
	}
}

/// The state of one component in a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ComponentState {
	/// Its name.
	pub component: String,
	/// Bytes of its payload.
	pub bytes: u64,
	/// Leaves of its payload.
	pub leaves: u64,
	/// The root that it must have.
	pub root: H256,
	/// Whether its file has that root.
	pub genuine: bool,
	/// What is wrong with the file.
	pub problem: Option<String>,
}

/// A folder of a model's weights.
#[derive(Clone, Debug)]
pub struct ModelFolder {
	path: PathBuf,
	description: Description,
}

impl ModelFolder {
	/// Writes a model into the folder `path`, which must not exist yet, or be empty.
	pub fn create(path: &Path, weights: &Weights, seed: Option<H256>) -> Result<Self> {
		let staging = Staging::begin(path)?;
		let mut roots = Vec::with_capacity(weights.components().len());
		let components = weights.architecture().components();
		for (component, weights) in components.iter().zip(weights.components()) {
			roots.push(TileFile::create(file_in(staging.path(), &component.name), weights)?);
		}
		let description = Description::new(*weights.architecture(), seed, None, roots)?;
		write_description(staging.path(), &description)?;
		staging.finish()?;
		Ok(Self { path: path.to_path_buf(), description })
	}

	/// Opens a folder and checks its description, but hashes nothing: see [`ModelFolder::verify`].
	pub fn open(path: &Path) -> Result<Self> {
		let file = path.join(MODEL_FILE);
		let refused = |source| Error::Io { action: "read", path: file.clone(), source };
		let mut text = String::new();
		File::open(&file)
			.and_then(|opened| opened.take(MAX_MODEL_FILE_BYTES).read_to_string(&mut text))
			.map_err(refused)?;
		let description: Description = serde_json::from_str(&text).map_err(|error| {
			Error::Description { path: file.clone(), problem: error.to_string() }
		})?;
		description.check(&file)?;
		Ok(Self { path: path.to_path_buf(), description })
	}

	/// Puts a description into a folder whose components are there, or will be.
	pub fn describe(path: &Path, description: Description) -> Result<Self> {
		description.check(&path.join(MODEL_FILE))?;
		fs::create_dir_all(path).map_err(|source| Error::Io {
			action: "create the folder",
			path: path.to_path_buf(),
			source,
		})?;
		write_description(path, &description)?;
		Ok(Self { path: path.to_path_buf(), description })
	}

	/// Where it is.
	pub fn path(&self) -> &Path {
		&self.path
	}

	/// What the model is.
	pub fn description(&self) -> &Description {
		&self.description
	}

	/// The dimensions of the model.
	pub fn architecture(&self) -> &Architecture {
		&self.description.architecture
	}

	/// The file of a component, by the name that the architecture gives it.
	pub fn file(&self, component: &str) -> PathBuf {
		file_in(&self.path, component)
	}

	/// Hashes every leaf of every component and compares with the roots. Calls `done` after each.
	pub fn verify(&self, mut done: impl FnMut(&ComponentState)) -> Vec<ComponentState> {
		let components = self.architecture().components();
		let pairs = components.iter().zip(&self.description.roots);
		pairs
			.map(|(component, root)| {
				let checked = TileFile::open_verified(self.file(&component.name), root)
					.and_then(|file| file.weights().map(|weights| weights.len() as u64 * 4));
				let problem = match checked {
					Ok(bytes) if bytes == component.bytes => None,
					Ok(bytes) => Some(format!("it has {bytes} bytes, not {}", component.bytes)),
					Err(error) => Some(error.to_string()),
				};
				let state = ComponentState {
					component: component.name.clone(),
					bytes: component.bytes,
					leaves: blyan_primitives::tensor::leaf_count(component.bytes),
					root: *root,
					genuine: problem.is_none(),
					problem,
				};
				done(&state);
				state
			})
			.collect()
	}

	/// The weights in memory, each component checked against its root.
	pub fn weights(&self) -> Result<Weights> {
		let mut weights = Vec::with_capacity(self.description.roots.len());
		for file in self.files()? {
			weights.push(file.weights()?.to_vec());
		}
		Ok(Weights::new(self.architecture(), weights)?)
	}

	/// The model as it lies in its files, to be run, each component checked against its root.
	pub fn mapped(&self) -> Result<Mapped> {
		let files = self.files()?;
		// A chain's model is of master weights, whatever else could be run.
		for file in &files {
			file.weights()?;
		}
		Ok(Mapped::new(self.architecture(), files)?)
	}

	/// The files of the components in order, each checked against its root.
	fn files(&self) -> Result<Vec<TileFile>> {
		let components = self.architecture().components();
		let pairs = components.iter().zip(&self.description.roots);
		let open = |(component, root): (&Component, &H256)| {
			TileFile::open_verified(self.file(&component.name), root)
		};
		Ok(pairs.map(open).collect::<std::result::Result<_, _>>()?)
	}
}

/// Names of components come from the architecture, so they cannot leave the folder.
fn file_in(folder: &Path, component: &str) -> PathBuf {
	folder.join(format!("{component}.{}", blyan_tiles::store::EXTENSION))
}

fn write_description(folder: &Path, description: &Description) -> Result<()> {
	let path = folder.join(MODEL_FILE);
	let text = serde_json::to_string_pretty(description)
		.map_err(|error| Error::Description { path: path.clone(), problem: error.to_string() })?;
	blyan_tiles::atomic::write(&path, |file| {
		io::Write::write_all(file, text.as_bytes())?;
		io::Write::write_all(file, b"\n")
	})?;
	Ok(())
}

#[cfg(test)]
mod tests {
	use super::*;
	use blyan_engine::demo;

	fn tiny() -> Architecture {
		Architecture {
			d_model: 16,
			layers: 1,
			heads: 2,
			context: 8,
			experts: 2,
			d_ff: 24,
			..demo::ARCHITECTURE
		}
	}

	#[test]
	fn model_comes_back_from_its_folder() {
		let folder = tempfile::tempdir().unwrap();
		let path = folder.path().join("model");
		let seed = H256([7; 32]);
		let weights = Weights::initial(&tiny(), seed).unwrap();
		ModelFolder::create(&path, &weights, Some(seed)).unwrap();

		let opened = ModelFolder::open(&path).unwrap();
		assert_eq!(opened.weights().unwrap(), weights);
		assert_eq!(opened.mapped().unwrap().architecture(), &tiny());
		assert_eq!(opened.description().roots, weights.roots());
		assert_eq!(opened.description().seed, Some(seed));
		assert!(opened.verify(|_| ()).iter().all(|state| state.genuine));
		assert!(ModelFolder::create(&path, &weights, None).is_err());
	}

	#[test]
	fn damage_is_found_and_named() {
		let folder = tempfile::tempdir().unwrap();
		let path = folder.path().join("model");
		let weights = Weights::initial(&tiny(), H256([7; 32])).unwrap();
		let model = ModelFolder::create(&path, &weights, None).unwrap();

		let head = model.file("head");
		let mut bytes = fs::read(&head).unwrap();
		let last = bytes.len() - 1;
		bytes[last] ^= 1;
		fs::write(&head, &bytes).unwrap();
		fs::remove_file(model.file("embed")).unwrap();
		let states = model.verify(|_| ());
		let wrong: Vec<&str> = states
			.iter()
			.filter(|state| !state.genuine && state.problem.is_some())
			.map(|state| state.component.as_str())
			.collect();
		assert_eq!(wrong, ["embed", "head"]);
		assert!(model.weights().is_err());
		assert!(model.mapped().is_err());
	}

	#[test]
	fn descriptions_that_make_no_sense_are_refused() {
		let folder = tempfile::tempdir().unwrap();
		let roots = vec![H256::zero(); tiny().component_count() as usize];
		let description = Description::new(tiny(), None, None, roots).unwrap();
		ModelFolder::describe(folder.path(), description.clone()).unwrap();
		assert_eq!(ModelFolder::open(folder.path()).unwrap().description(), &description);

		let file = folder.path().join(MODEL_FILE);
		let whole = fs::read_to_string(&file).unwrap();
		for (from, to) in [
			("\"version\": 1", "\"version\": 2"),
			("\"heads\": 2", "\"heads\": 3"),
			("\"layers\": 1", "\"layers\": 2"),
			("\"roots\"", "\"root\""),
			("{", ""),
		] {
			fs::write(&file, whole.replace(from, to)).unwrap();
			let refused = ModelFolder::open(folder.path());
			assert!(matches!(refused, Err(Error::Description { .. })), "{from}");
		}
		assert!(Description::new(tiny(), None, None, Vec::new()).is_err());
	}
}
