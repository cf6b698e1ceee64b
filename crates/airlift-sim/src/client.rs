//! A virtual device that is updated over a real network.
//!
//! [`VirtualDevice`] is a board whose flash is a file, the update engine, and an ordinary TCP connection: it asks a
//! server as an ESP32 update client does, and installs what it is given. What happens on the way is told as
//! [`Event`]s; what goes wrong on the way is up to [`Faults`].
//!
//! ```no_run
//! use airlift_sim::client::{Event, Identity, ServerAddress, Settled, VirtualDevice};
//!
//! let identity = Identity::new("dev", "lotus", "esp32-85ea2b", "sht30_d1_mini")?;
//! let server: ServerAddress = "http://127.0.0.1:8080".parse()?;
//! let mut device = VirtualDevice::open("device.flash".as_ref(), identity, server)?;
//! match device.check(&mut |event: &Event| println!("{event}"))? {
//!     Settled::UpToDate => println!("nothing to do"),
//!     settled => println!("{settled:?}"),
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod address;
mod app;
mod ask;
mod by_hand;
mod connection;
mod device;
mod error;
mod event;
mod faults;
mod identity;
mod mqtt;
mod partitions;
mod plan;
mod poll;
mod provision;
mod recovery;
mod report;
mod set;
mod transfer;
mod two_step;

pub use address::{AddressError, ServerAddress, UpdateUrl, UpdateUrlError};
pub use by_hand::{Order, Put};
pub use device::{Counters, Running, VirtualDevice};
pub use error::DeviceError;
pub use event::Event;
pub use faults::{Faults, PowerCut};
pub use identity::{Identity, IdentityError};
pub use mqtt::{Credentials, JobEnd, JobSettings, MqttAddress, Worked};
pub use plan::{PartitionPlan, PlanError, PlanProblem, RiskPlan, RoomPlan, SchemePlan};
pub use poll::{Polled, Settled};
pub use provision::{ProvisionFileError, default_table, provision};
pub use report::{DataReport, Inspection, PartitionReport, inspect};
pub use set::{
    PLACE as SET_PLACE, PartPlan, Policy as SetPolicy, SetPartPlan, SetPartReport, SetPlan,
    SetPlanError, SetPlanProblem, SetReport,
};
