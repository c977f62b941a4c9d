//! The texts of real deposits, so that rows are as long as they are in a bank.

use anyhow::Context;

const STATEMENTS: &str = include_str!("../../../examples/bank-statements.csv");

/// What a deposit says beside its amount. Empty is nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) reference: String,
    pub(crate) counterparty: String,
}

/// All of them.
#[derive(Debug, Clone)]
pub(crate) struct Texts(Vec<Text>);

impl Texts {
    /// Those of the statements in `examples/`.
    pub(crate) fn of_statements() -> anyhow::Result<Self> {
        let mut file = csv::Reader::from_reader(STATEMENTS.as_bytes());
        let headers = file.headers()?.clone();
        let column = |name: &str| {
            headers.iter().position(|header| header == name).with_context(|| format!("no {name}"))
        };
        let (command, reference, counterparty) =
            (column("command")?, column("reference")?, column("counterparty")?);
        let mut texts = Vec::new();
        for record in file.records() {
            let record = record?;
            if record.get(command) == Some("deposit") {
                let text = |column| record.get(column).unwrap_or_default().to_owned();
                texts.push(Text { reference: text(reference), counterparty: text(counterparty) });
            }
        }
        anyhow::ensure!(!texts.is_empty(), "the statements have no deposits");
        Ok(Self(texts))
    }

    /// The text with a number, round and round.
    pub(crate) fn get(&self, number: u32) -> &Text {
        let index = usize::try_from(number).unwrap_or(0) % self.0.len();
        &self.0[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deposits_have_the_texts_of_statements() {
        let texts = Texts::of_statements().unwrap();
        assert!(texts.0.len() > 100);
        assert!(texts.0.iter().all(|text| !text.reference.is_empty()));
        assert_eq!(texts.get(3), texts.get(3 + u32::try_from(texts.0.len()).unwrap()));
    }
}
