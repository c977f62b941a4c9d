//! Messages in protobuf's own JSON form.

use anyhow::Context;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};

use crate::{failure::Failure, output::out};

/// Prints a message of the contract, by its full name, with every field, also those at their default.
pub(crate) fn print_json(name: &str, message: &impl Message) -> Result<(), Failure> {
    out!("{}\n", to_json(name, message)?);
    Ok(())
}

fn to_json(name: &str, message: &impl Message) -> anyhow::Result<String> {
    let pool = DescriptorPool::decode(proto::FILE_DESCRIPTOR_SET).context("read the contract")?;
    let descriptor = pool.get_message_by_name(name);
    let descriptor = descriptor.with_context(|| format!("no message {name} in the contract"))?;
    let message = DynamicMessage::decode(descriptor, &*message.encode_to_vec())
        .with_context(|| format!("show a {name}"))?;
    let mut json = serde_json::Serializer::pretty(Vec::new());
    let options = SerializeOptions::new().skip_default_fields(false);
    message.serialize_with_options(&mut json, &options).context("write JSON")?;
    String::from_utf8(json.into_inner()).context("write JSON")
}

#[cfg(test)]
mod tests {
    use proto::{read::GetBalanceResponse, types::Money};

    use super::*;

    #[test]
    fn json_has_the_names_of_the_contract_and_every_field() {
        let money = |minor_units, display: &str| {
            Some(Money { currency_code: "EUR".into(), minor_units, display: display.into() })
        };
        let response = GetBalanceResponse {
            read: None,
            account_id: "alice".into(),
            balance: money(-5, "-0.05"),
            available: money(-5, "-0.05"),
            held: money(0, "0.00"),
            version: 3,
        };
        let json = to_json("counterfoil.read.v1.GetBalanceResponse", &response).unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["accountId"], "alice");
        assert_eq!(json["balance"]["minorUnits"], "-5"); // protobuf writes 64-bit numbers as text
        assert_eq!(json["held"]["minorUnits"], "0");
        assert_eq!(json["version"], "3");
    }
}
