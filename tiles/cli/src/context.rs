//! What every command is handed.

use crate::{args::Cli, keystore::Keystore, output::Output};
use anyhow::Context as _;

/// What every command is handed.
#[derive(Debug)]
pub struct Context {
	/// Where results go.
	pub output: Output,
	/// Where keys are.
	pub keystore: Keystore,
	/// Where the node is reached, if the command line says so.
	pub url: Option<String>,
}

impl Context {
	/// The context that the command line asks for.
	pub fn new(cli: &Cli) -> anyhow::Result<Self> {
		let folder = match &cli.keystore {
			Some(folder) => folder.clone(),
			None => Keystore::default_folder()
				.context("there is no home folder for keys; name one with --keystore")?,
		};
		Ok(Self {
			output: Output::new(cli.json),
			keystore: Keystore::new(folder),
			url: cli.url.clone(),
		})
	}
}

/// A command line that is well-formed but makes no sense. The program ends with exit code 2.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// An error about the command line.
pub fn usage(message: impl Into<String>) -> anyhow::Error {
	anyhow::Error::new(Usage(message.into()))
}
