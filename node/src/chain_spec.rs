//! Chain specifications of the built-in networks. Their content comes from the runtime's genesis
//! presets; `chain-spec/` holds what this prints.

use blyan_runtime::{genesis, WASM_BINARY};
use polkadot_sdk::sc_service::{ChainType, GenericChainSpec, Properties};

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
		path => return ChainSpec::from_json_file(path.into()),
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
