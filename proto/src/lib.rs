//! The wire contract as Rust types. The contract itself, with every rule a client needs, is in the `.proto` files.
//!
//! Nothing is written by hand here, and no conversion to domain types: each service has its own at its border.
#![allow(
    missing_docs,
    rustdoc::invalid_html_tags,
    unreachable_pub,
    clippy::allow_attributes_without_reason,
    clippy::doc_markdown,
    clippy::too_long_first_doc_paragraph,
    clippy::large_enum_variant,
    clippy::large_futures,
    clippy::too_many_lines,
    reason = "generated code"
)]

/// Every `.proto` file of the contract.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/counterfoil.bin"));

/// What the write service offers by reflection.
pub const WRITE_FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/write.bin"));

/// What the read service offers by reflection.
pub const READ_FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/read.bin"));

pub mod counterfoil {
    pub mod r#type {
        pub mod v1 {
            tonic::include_proto!("counterfoil.r#type.v1");
        }
    }
    pub mod write {
        pub mod v1 {
            tonic::include_proto!("counterfoil.write.v1");
        }
    }
    pub mod read {
        pub mod v1 {
            tonic::include_proto!("counterfoil.read.v1");
        }
    }
}

pub use counterfoil::{read::v1 as read, r#type::v1 as types, write::v1 as write};
