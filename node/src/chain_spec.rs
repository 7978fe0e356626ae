//! Chain specifications of the built-in networks. Their content comes from the runtime's genesis
//! presets; `chain-spec/` holds what this prints.

use blyan_runtime::{genesis, WASM_BINARY};
use polkadot_sdk::sc_service::{ChainType, GenericChainSpec, Properties};
use serde_json::Value;
use std::fs;

/// A specification without extensions.
pub type ChainSpec = GenericChainSpec;

struct Network {
	name: &'static str,
	id: &'static str,
	chain_type: ChainType,
	preset: &'static str,
}

/// The specification that `--chain id` names; a path is read from a file.
pub fn load(id: &str) -> Result<ChainSpec, String> {
	let network = match id {
		"dev" => Network {
			name: "Blyan development",
			id: "blyan_dev",
			chain_type: ChainType::Development,
			preset: genesis::DEV,
		},
		"" | "local" => Network {
			name: "Blyan local network",
			id: "blyan_local",
			chain_type: ChainType::Local,
			preset: genesis::LOCAL,
		},
		"testnet" => Network {
			name: "Blyan testnet",
			id: "blyan_testnet",
			chain_type: ChainType::Live,
			preset: genesis::TESTNET,
		},
		path => return read(path),
	};
	let wasm = WASM_BINARY.ok_or(
		"this node was built with SKIP_WASM_BUILD and carries no runtime; build it without, or \
		 give a chain specification file with --chain",
	)?;
	let mut properties = Properties::new();
	properties.insert("tokenSymbol".into(), "BLY".into());
	properties.insert("tokenDecimals".into(), 18.into());
	properties.insert("ss58Format".into(), 42.into());
	Ok(ChainSpec::builder(wasm, None)
		.with_name(network.name)
		.with_id(network.id)
		.with_chain_type(network.chain_type)
		.with_protocol_id("blyan")
		.with_properties(properties)
		.with_genesis_config_preset_name(network.preset)
		.build())
}

/// The specification in a file.
fn read(path: &str) -> Result<ChainSpec, String> {
	let text = fs::read(path).map_err(|error| {
		format!("`--chain {path}` names neither dev, local or testnet nor a file to read: {error}")
	})?;
	let json: Value = serde_json::from_slice(&text)
		.map_err(|error| format!("{path} is no chain specification: {error}"))?;
	let code = json.pointer("/genesis/runtimeGenesis/code");
	if code.and_then(Value::as_str) == Some("0x") {
		return Err(format!(
			"{path} shows how a network begins, but has no runtime, so nothing can start from it; \
			 give `--chain` the network's name, or a file that `blyan-node export-chain-spec` wrote"
		));
	}
	ChainSpec::from_json_bytes(text)
}

#[cfg(test)]
mod tests {
	use super::*;

	fn refused(path: &str) -> String {
		load(path).map(drop).unwrap_err()
	}

	#[test]
	fn files_that_nothing_can_start_from_are_refused_with_a_reason() {
		let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../chain-spec");
		for network in ["dev", "local", "testnet"] {
			let error = refused(&format!("{folder}/{network}.json"));
			assert!(error.contains("has no runtime"), "{error}");
		}
		let error = refused(&format!("{folder}/build.sh"));
		assert!(error.contains("is no chain specification"), "{error}");
		let error = refused("devv");
		assert!(error.contains("`--chain devv` names neither"), "{error}");
	}
}
