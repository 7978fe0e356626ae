//! What follows `blyan account`.

use super::SignerArgs;
use clap::{Args, Subcommand, ValueEnum};

/// Commands about keys.
#[derive(Clone, Debug, Subcommand)]
pub enum AccountCommand {
	/// Make a key and keep it in the key store.
	New(AccountNewArgs),
	/// Show the address of a key.
	Show(AccountShowArgs),
	/// List the keys of the key store.
	List,
	/// Read a phrase, a seed or a development key like //Alice from standard input and keep it.
	Import(AccountImportArgs),
	/// Show what the chain knows about an account: BLY, bond, rewards.
	Balance(AccountBalanceArgs),
	/// Claim what an account has earned in ended epochs.
	Claim(AccountClaimArgs),
	/// Send BLY to another account.
	Transfer(AccountTransferArgs),
	/// Add to the bond of a worker, for more roles or after it was slashed.
	Bond(AccountBondArgs),
	/// Take a worker off the lists, so that its bond can be withdrawn after the unbonding period.
	Leave(SignerArgs),
	/// Get the bond of a worker back that has left.
	Withdraw(SignerArgs),
}

/// Arguments of `account bond`.
#[derive(Clone, Debug, Args)]
pub struct AccountBondArgs {
	/// How much to add, in BLY, such as 500.
	pub amount: String,
	/// Who signs, and is the worker.
	#[command(flatten)]
	pub signer: SignerArgs,
}

/// Arguments of `account balance`.
#[derive(Clone, Debug, Args)]
pub struct AccountBalanceArgs {
	/// An address, or the name of a key.
	pub account: String,
}

/// Arguments of `account claim`.
#[derive(Clone, Debug, Args)]
pub struct AccountClaimArgs {
	/// Who is paid, if it is not who signs and pays the fee: an address, or the name of a key.
	#[arg(long = "for", value_name = "ACCOUNT")]
	pub paid: Option<String>,
	/// Who signs, and is paid unless somebody else is named.
	#[command(flatten)]
	pub signer: SignerArgs,
}

/// Arguments of `account transfer`.
#[derive(Clone, Debug, Args)]
pub struct AccountTransferArgs {
	/// An address, or the name of a key.
	pub to: String,
	/// How much, in BLY, such as 12.5.
	pub amount: String,
	/// Who signs, and pays.
	#[command(flatten)]
	pub signer: SignerArgs,
}

/// How a key signs, as the command line names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SchemeName {
	/// Schnorr signatures on Ristretto; what accounts use.
	Sr25519,
	/// Edwards signatures.
	Ed25519,
}

/// Arguments of `account new`.
#[derive(Clone, Debug, Args)]
pub struct AccountNewArgs {
	/// Name of the key: letters, digits, `-`, `_` and `.`.
	pub name: String,
	/// How the key signs.
	#[arg(long, value_enum, default_value_t = SchemeName::Sr25519)]
	pub scheme: SchemeName,
	/// Keep the key without a password; whoever reads the file has it.
	#[arg(long)]
	pub no_password: bool,
	/// Print the phrase to standard error, once, to be written down.
	#[arg(long)]
	pub show_phrase: bool,
}

/// Arguments of `account show`.
#[derive(Clone, Debug, Args)]
pub struct AccountShowArgs {
	/// Name of the key, or a well-known development key like //Alice.
	pub name: String,
}

/// Arguments of `account import`.
#[derive(Clone, Debug, Args)]
pub struct AccountImportArgs {
	/// Name of the key: letters, digits, `-`, `_` and `.`.
	pub name: String,
	/// How the key signs.
	#[arg(long, value_enum, default_value_t = SchemeName::Sr25519)]
	pub scheme: SchemeName,
	/// Keep the key without a password; whoever reads the file has it.
	#[arg(long)]
	pub no_password: bool,
}
