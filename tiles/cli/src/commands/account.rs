//! Keys on this machine.

use crate::{
	args::{AccountImportArgs, AccountNewArgs, AccountShowArgs, SchemeName},
	context::Context,
	keystore::{Protection, Scheme, Secret},
};
use serde::Serialize;

impl From<SchemeName> for Scheme {
	fn from(name: SchemeName) -> Self {
		match name {
			SchemeName::Sr25519 => Scheme::Sr25519,
			SchemeName::Ed25519 => Scheme::Ed25519,
		}
	}
}

fn protection(no_password: bool) -> Protection {
	if no_password {
		Protection::None
	} else {
		Protection::Password
	}
}

/// A key as `account show` has it.
#[derive(Serialize)]
struct Shown {
	name: String,
	scheme: Scheme,
	address: String,
	public_key: String,
	encrypted: bool,
	/// None for a development key.
	file: Option<String>,
}

/// Makes a key.
pub fn new(args: AccountNewArgs, context: &Context) -> anyhow::Result<()> {
	let secret = Secret::generate()?;
	let scheme = args.scheme.into();
	let entry = context.keystore.add(&args.name, &secret, scheme, protection(args.no_password))?;
	if args.show_phrase {
		eprintln!("phrase: {}", secret.expose());
	}
	context.output.record(&entry)
}

/// Reads a secret from standard input and keeps it.
pub fn import(args: AccountImportArgs, context: &Context) -> anyhow::Result<()> {
	// A name that is taken or wrong is no reason to type a phrase.
	if context.keystore.path(&args.name)?.exists() {
		return Err(crate::keystore::Error::Exists(args.name).into());
	}
	let secret = Secret::from_input()?;
	let scheme = args.scheme.into();
	let entry = context.keystore.add(&args.name, &secret, scheme, protection(args.no_password))?;
	context.output.record(&entry)
}

/// Shows the address of a key.
pub fn show(args: AccountShowArgs, context: &Context) -> anyhow::Result<()> {
	let entry = context.keystore.entry(&args.name)?;
	let account = crate::args::parse_account(&entry.address).map_err(anyhow::Error::msg)?;
	let file = match entry.name.starts_with("//") {
		true => None,
		false => Some(context.keystore.path(&entry.name)?.to_string_lossy().into_owned()),
	};
	let digits: String = account.0.iter().map(|byte| format!("{byte:02x}")).collect();
	context.output.record(&Shown {
		name: entry.name,
		scheme: entry.scheme,
		address: entry.address,
		public_key: format!("0x{digits}"),
		encrypted: entry.encrypted,
		file,
	})
}

/// Lists the keys.
pub fn list(context: &Context) -> anyhow::Result<()> {
	let folder = context.keystore.folder().display();
	let empty = format!("no keys in {folder}; `blyan account new NAME` makes one");
	context.output.rows(&context.keystore.list()?, &empty)
}
