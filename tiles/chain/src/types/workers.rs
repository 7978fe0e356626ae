//! Workers: what each offers, what it computes on, and where it stands.

use super::{Balance, BlockNumber, Static};
use blyan_primitives::{roles::Roles, H256};
use subxt::ext::{scale_decode::DecodeAsType, scale_encode::EncodeAsType};

/// The device that a worker computes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DecodeAsType, EncodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
#[encode_as_type(crate_path = "::subxt::ext::scale_encode")]
pub enum Device {
	/// Processor cores.
	Cpu,
	/// NVIDIA.
	Cuda,
	/// AMD.
	Rocm,
	/// Apple.
	Metal,
	/// Any other device with a Vulkan driver.
	Vulkan,
}

/// What a worker says about its hardware.
#[derive(Clone, Debug, PartialEq, Eq, DecodeAsType, EncodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
#[encode_as_type(crate_path = "::subxt::ext::scale_encode")]
pub struct Profile {
	/// The device.
	pub device: Device,
	/// Memory that the device can compute in, in MiB.
	pub vram_mib: u32,
	/// Rate of a large matrix product, in 10^9 operations a second.
	pub tflops_milli: u32,
	/// Bandwidth of that memory, in MiB a second.
	pub memory_mib_per_s: u32,
	/// Bandwidth between system and device, in MiB a second.
	pub pcie_mib_per_s: u32,
	/// Country as two letters, or two zero bytes when not told.
	pub region: [u8; 2],
}

/// Where a worker stands between registering and taking its bond back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub enum WorkerState {
	/// On the list of each of its roles.
	Listed,
	/// On no list: its bond is below the minimum, or it was silent for too long.
	Suspended,
	/// On no list, and leaving.
	Unbonding {
		/// First block at which the bond can be withdrawn.
		until: BlockNumber,
	},
}

/// What is stored about a worker.
#[derive(Clone, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub struct Worker {
	/// The roles it offers.
	pub roles: Static<Roles>,
	/// Its hardware.
	pub profile: Profile,
	/// Hash that names its hardware.
	pub hardware_id: H256,
	/// Its identity in the network.
	pub peer_id: Vec<u8>,
	/// Where it can be reached.
	pub addresses: Vec<Vec<u8>>,
	/// What is held of its balance.
	pub bond: Balance,
	/// Block of its last heartbeat, or of its registration.
	pub heartbeat_at: BlockNumber,
	/// Where it stands.
	pub state: WorkerState,
}
