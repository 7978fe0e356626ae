//! `blyan-node`: a validator or full node of the Blyan network.

mod chain_spec;
mod cli;
mod command;
mod rpc;
mod service;
mod tiles;
mod validator;

fn main() -> polkadot_sdk::sc_cli::Result<()> {
	command::run()
}
