//! Messages in protobuf's own JSON form.

use prost::Message;

use crate::{contract::Contract, failure::Failure, output::out};

/// Prints a message of the contract, by its full name, with every field, also those at their default.
pub(crate) fn print_json(name: &str, message: &impl Message) -> Result<(), Failure> {
    out!("{}\n", Contract::new()?.to_text(name, message)?);
    Ok(())
}
