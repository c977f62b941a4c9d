//! The contract's messages in protobuf's own JSON form.

use anyhow::Context;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};
use serde_json::Value;

/// Every field, also those at their default: whoever reads must not have to know the defaults.
const OPTIONS: SerializeOptions = SerializeOptions::new().skip_default_fields(false);

/// All messages of the contract, by their full names.
pub(crate) struct Contract(DescriptorPool);

impl Contract {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let pool = DescriptorPool::decode(proto::FILE_DESCRIPTOR_SET);
        Ok(Self(pool.context("read the contract")?))
    }

    /// Several lines of text, the fields in the order of the contract.
    pub(crate) fn to_text(&self, name: &str, message: &impl Message) -> anyhow::Result<String> {
        let mut json = serde_json::Serializer::pretty(Vec::new());
        let message = self.dynamic(name, message)?;
        message.serialize_with_options(&mut json, &OPTIONS).context("write JSON")?;
        String::from_utf8(json.into_inner()).context("write JSON")
    }

    /// To be a part of something larger.
    pub(crate) fn to_value(&self, name: &str, message: &impl Message) -> anyhow::Result<Value> {
        let message = self.dynamic(name, message)?;
        let json = serde_json::value::Serializer;
        message.serialize_with_options(json, &OPTIONS).context("write JSON")
    }

    /// Reads a message; names may be written as in JSON or as in the contract. The error is for whoever wrote the text.
    pub(crate) fn parse<M: Message + Default>(&self, name: &str, text: &str) -> anyhow::Result<M> {
        let mut json = serde_json::Deserializer::from_str(text);
        let message = DynamicMessage::deserialize(self.message(name)?, &mut json)?;
        json.end()?;
        Ok(message.transcode_to()?)
    }

    fn message(&self, name: &str) -> anyhow::Result<MessageDescriptor> {
        let message = self.0.get_message_by_name(name);
        message.with_context(|| format!("no message {name} in the contract"))
    }

    fn dynamic(&self, name: &str, message: &impl Message) -> anyhow::Result<DynamicMessage> {
        let bytes = message.encode_to_vec();
        let message = DynamicMessage::decode(self.message(name)?, &*bytes);
        message.with_context(|| format!("show a {name}"))
    }
}

#[cfg(test)]
mod tests {
    use proto::{
        read::GetBalanceResponse,
        types::Money,
        write::{Command, command::Kind},
    };

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
        let contract = Contract::new().unwrap();
        let name = "counterfoil.read.v1.GetBalanceResponse";
        let json: Value =
            serde_json::from_str(&contract.to_text(name, &response).unwrap()).unwrap();
        assert_eq!(json["accountId"], "alice");
        assert_eq!(json["balance"]["minorUnits"], "-5"); // protobuf writes 64-bit numbers as text
        assert_eq!(json["held"]["minorUnits"], "0");
        assert_eq!(json["version"], "3");
        assert_eq!(contract.to_value(name, &response).unwrap(), json);
    }

    #[test]
    fn a_message_is_read_with_either_spelling_of_its_names_and_no_other() {
        let contract = Contract::new().unwrap();
        let parse = |text: &str| contract.parse::<Command>("counterfoil.write.v1.Command", text);
        for text in [
            r#"{"deposit": {"accountId": "a", "amount": {"currencyCode": "EUR", "minorUnits": "5"}}}"#,
            r#"{"deposit": {"account_id": "a", "amount": {"currency_code": "EUR", "minor_units": 5}}}"#,
        ] {
            let Some(Kind::Deposit(deposit)) = parse(text).unwrap().kind else { panic!("{text}") };
            assert_eq!(
                (deposit.account_id.as_str(), deposit.amount.unwrap().minor_units),
                ("a", 5)
            );
        }
        for text in ["", "[]", r#"{"deposit": {"acount": "a"}}"#, r#"{"deposit": {}} {}"#] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
